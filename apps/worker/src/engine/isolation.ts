// Lets one phase run with nothing beside it in this process, so that a crash is surely its own doing and its neighbours are innocent.
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '@millrace/process';

export type Isolation = {
  /** Counts a delivery as work of this process until the answer is called. Null while a phase runs alone: the delivery must come again. */
  enter(): (() => void) | null;
  /**
   * Runs `fn`, itself inside a delivery, once it is the only one, and keeps others out meanwhile. `busy` when the others do not end soon, or
   * someone else runs alone: then `fn` was not called.
   */
  runAlone<T>(fn: () => Promise<T>): Promise<T | 'busy'>;
};

/** Others are kept out while a suspect waits for them, so it does not wait long. */
const ALONE_WITHIN_MS = 2_000;
const CHECK_MS = 20;

export function createIsolation({ clock }: { clock: Clock }): Isolation {
  let working = 0;
  let isTaken = false;
  const aloneWithin = async (timeoutMs: number) => {
    const endAt = clock.monotonicMs() + timeoutMs;
    while (working > 1 && clock.monotonicMs() < endAt) await delay(CHECK_MS);
    return working === 1;
  };
  return {
    enter: () => {
      if (isTaken) return null;
      working += 1;
      return () => {
        working -= 1;
      };
    },
    runAlone: async (fn) => {
      if (isTaken) return 'busy';
      isTaken = true;
      try {
        return (await aloneWithin(ALONE_WITHIN_MS)) ? await fn() : 'busy';
      } finally {
        isTaken = false;
      }
    },
  };
}
