// A named background loop: runs one bounded pass after another, waits between them, backs off after failures, stops within its pass.
import type { Logger } from './logger.ts';
import type { Service } from './service.ts';
import { withTimeout } from './service.ts';

export type LoopOptions = {
  name: string;
  /** Wait after a pass that found nothing more to do. */
  intervalMs: number;
  /** One bounded pass. Answers how long to wait before the next: 'again' for not at all, because a limit cut the pass short; 'idle' for `intervalMs`. */
  runOnce(signal: AbortSignal): Promise<PassResult>;
  log: Logger;
  /** Called after every pass: how long it took, and how it ended. */
  onPass?(pass: { loop: string; durationMs: number; failed: boolean }): void;
};

export type PassResult = 'again' | 'idle' | { waitMs: number };

export type Loop = Service & {
  /** Ends the current wait, so that the next pass begins now. */
  wake(): void;
};

const FAILURE_WAIT_MS_MAX = 5_000;

export function createLoop(options: LoopOptions): Loop {
  const stopping = new AbortController();
  let running: Promise<void> | undefined;
  let wakeNow: () => void = () => undefined;
  let woken = false;

  const wait = (timeoutMs: number) =>
    new Promise<void>((resolve) => {
      if (stopping.signal.aborted || woken) {
        resolve();
        return;
      }
      const timer = setTimeout(resolve, timeoutMs);
      wakeNow = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  const run = async () => {
    let failures = 0;
    while (!stopping.signal.aborted) {
      woken = false;
      const { result, failed } = await runPass(options, { signal: stopping.signal, failures });
      failures = failed ? failures + 1 : 0;
      if (result === 'again') continue;
      await wait(
        failed
          ? Math.min(FAILURE_WAIT_MS_MAX, options.intervalMs * 2 ** Math.min(failures, 6))
          : result === 'idle'
            ? options.intervalMs
            : result.waitMs,
      );
    }
  };

  return {
    name: options.name,
    start: () => {
      running ??= run();
      return Promise.resolve();
    },
    stop: async (deadlineMs) => {
      stopping.abort();
      wakeNow();
      if (running !== undefined) await withTimeout(running, deadlineMs);
    },
    wake: () => {
      woken = true;
      wakeNow();
    },
  };
}

async function runPass(
  options: LoopOptions,
  state: { signal: AbortSignal; failures: number },
): Promise<{ result: PassResult; failed: boolean }> {
  const startedAt = performance.now();
  try {
    const result = await options.runOnce(state.signal);
    options.onPass?.({ loop: options.name, durationMs: performance.now() - startedAt, failed: false });
    return { result, failed: false };
  } catch (error) {
    options.onPass?.({ loop: options.name, durationMs: performance.now() - startedAt, failed: true });
    // One line for the first failure of a row and then for every tenth, so that a long outage does not fill the disk.
    if (state.failures % 10 === 0)
      options.log.warn({ err: error, loop: options.name, failures: state.failures + 1 }, 'pass failed, will try again');
    return { result: 'idle', failed: true };
  }
}
