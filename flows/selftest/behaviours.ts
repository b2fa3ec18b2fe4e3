// Flows whose handlers behave in ways an engine must live with: slow, deaf, blocking, deadly.
import { setTimeout as delay } from 'node:timers/promises';
import { defineFlow } from '@millrace/sdk';
import { z } from 'zod';

const DURATION_MS_MAX = 3_600_000;
const PROGRESS_EVERY_MS = 100;
const duration = z.strictObject({ ms: z.int().min(0).max(DURATION_MS_MAX) });

/** Sleeps, reports progress every 100 ms, and stops at once when its signal aborts. */
export const sleep = defineFlow({
  name: 'selftest.sleep',
  version: 1,
  input: duration,
  phases: {
    only: {
      run: async ({ input, signal, progress }) => {
        const startedAt = performance.now();
        for (let sleptMs = 0; sleptMs < input.ms; sleptMs = performance.now() - startedAt) {
          progress(sleptMs / input.ms, `${Math.round(sleptMs)} of ${input.ms} ms`);
          await delay(Math.min(PROGRESS_EVERY_MS, input.ms - sleptMs), undefined, { signal });
        }
        progress(1);
        return { ms: input.ms };
      },
    },
  },
});

/** Sleeps and never looks at its signal. */
export const ignore = defineFlow({
  name: 'selftest.ignore',
  version: 1,
  input: duration,
  phases: {
    only: {
      run: async ({ input }) => {
        await delay(input.ms);
        return { ms: input.ms };
      },
    },
  },
});

/** Blocks the event loop of its process. */
export const block = defineFlow({
  name: 'selftest.block',
  version: 1,
  input: duration,
  phases: {
    only: {
      run: ({ input }) => {
        const cell = new Int32Array(new SharedArrayBuffer(4));
        Atomics.wait(cell, 0, 0, input.ms);
        return { ms: input.ms };
      },
    },
  },
});

/** Ends the process it runs in, without a word, as a fatal fault of native code would. */
export const crash = defineFlow({
  name: 'selftest.crash',
  version: 1,
  input: z.strictObject({}),
  phases: {
    only: {
      run: () => {
        process.kill(process.pid, 'SIGKILL');
      },
    },
  },
});
