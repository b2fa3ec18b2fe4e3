// Lets go the phases that wait for code which this worker holds: back to the queue when every live worker holds it by now, else run here at once.
import { createLoop, type Logger, type Loop } from '@millrace/process';
import { releaseForCode, type Database, type HeldDefinition } from '@millrace/store';
import type { DirectDeliveries } from '../engine/direct-deliveries.ts';

export type CodeWaitersDeps = {
  database: Pick<Database, 'main'>;
  definitions: readonly HeldDefinition[];
  direct: Pick<DirectDeliveries, 'room' | 'run'>;
  /** Something is in the backlog now. */
  onReleased(): void;
  log: Logger;
  onPass(pass: { loop: string; durationMs: number; failed: boolean }): void;
};

/** How late a phase is found at worst; workers that meet one ring. */
const IDLE_MS = 1_000;
/** While there is no place for what waits. */
const FULL_MS = 100;
const RELEASE_MAX = 500;

export function createCodeWaiters({ database, definitions, direct, onReleased, log, onPass }: CodeWaitersDeps): Loop {
  return createLoop({
    name: 'code-waiters',
    intervalMs: IDLE_MS,
    log,
    onPass,
    runOnce: async () => {
      const takeMax = direct.room();
      const { released, taken, isFull } = await releaseForCode(database.main, definitions, { releaseMax: RELEASE_MAX, takeMax });
      direct.run(taken);
      if (released > 0) onReleased();
      if (released >= RELEASE_MAX) return 'again';
      return isFull ? { waitMs: FULL_MS } : 'idle';
    },
  });
}
