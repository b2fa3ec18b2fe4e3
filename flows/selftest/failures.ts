// Flows that fail: for a while, for ever, or in the middle of their steps.
import { defineFlow } from '@millrace/sdk';
import { z } from 'zod';

const QUICK_BACKOFF = { type: 'fixed', delay: '100ms' } as const;
const ATTEMPTS_MAX = 1_000;

/** Fails as often as `failures` says, then succeeds. */
export const flaky = defineFlow({
  name: 'selftest.flaky',
  version: 1,
  input: z.strictObject({
    failures: z
      .int()
      .min(0)
      .max(ATTEMPTS_MAX - 1),
  }),
  phases: {
    only: {
      retry: { attempts: ATTEMPTS_MAX, backoff: QUICK_BACKOFF },
      run: ({ input, attempt }) => {
        if (attempt <= input.failures) throw new Error(`attempt ${attempt} fails as asked`);
        return { attempt };
      },
    },
  },
});

/** Fails at its only attempt. */
export const fail = defineFlow({
  name: 'selftest.fail',
  version: 1,
  input: z.strictObject({}),
  phases: {
    only: {
      retry: { attempts: 1 },
      run: () => {
        throw new Error('it fails as asked');
      },
    },
  },
});

/** Runs `steps` kept steps; throws once after step `failAt` (counted from 1; absent: never). Its output tells how often each step ran. */
export const steps = defineFlow({
  name: 'selftest.steps',
  version: 1,
  input: z
    .strictObject({ steps: z.int().min(1).max(1_000), failAt: z.int().min(1).optional() })
    .refine((input) => input.failAt === undefined || input.failAt <= input.steps, { path: ['failAt'], message: 'must not be above steps' }),
  phases: {
    only: {
      retry: { attempts: 5, backoff: QUICK_BACKOFF },
      run: async (ctx) => {
        const ranInAttempt: number[] = [];
        for (let number = 1; number <= ctx.input.steps; number += 1) {
          ranInAttempt.push(await ctx.step(`step-${number}`, () => ctx.attempt));
          if (number === ctx.input.failAt && ctx.attempt === 1) throw new Error(`fails once after step ${number}, as asked`);
        }
        return { ranInAttempt };
      },
    },
  },
});
