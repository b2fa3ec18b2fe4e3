// Flows that do nothing, in several shapes.
import { defineFlow, type PhaseTable } from '@millrace/sdk';
import { z } from 'zod';

const NO_INPUT = z.strictObject({});
const nothing = () => null;

export const noop = defineFlow({ name: 'selftest.noop', version: 1, input: NO_INPUT, phases: { only: { run: nothing } } });

export const chain = defineFlow({
  name: 'selftest.chain',
  version: 1,
  input: NO_INPUT,
  phases: { first: { run: nothing }, second: { needs: ['first'], run: nothing }, third: { needs: ['second'], run: nothing } },
});

/** a, then b and c side by side, then d, which sees both. */
export const diamond = defineFlow({
  name: 'selftest.diamond',
  version: 1,
  input: NO_INPUT,
  phases: {
    a: { run: () => 'a' },
    b: { needs: ['a'], run: (ctx) => `${String(ctx.outputs['a'])}b` },
    c: { needs: ['a'], run: (ctx) => `${String(ctx.outputs['a'])}c` },
    d: { needs: ['b', 'c'], run: (ctx) => [ctx.outputs['b'], ctx.outputs['c']] },
  },
});

/** Waits for the signal `go`, whose body becomes its output. */
export const wait = defineFlow({
  name: 'selftest.wait',
  version: 1,
  input: NO_INPUT,
  phases: { only: { waitFor: { signal: 'go' } } },
});

/** As many phases side by side as `width` says. */
export const fan = defineFlow({
  name: 'selftest.fan',
  version: 1,
  input: z.strictObject({ width: z.int().min(1).max(20_000) }),
  phases: ({ width }) =>
    Object.fromEntries(Array.from({ length: width }, (_, index) => [`leaf-${index + 1}`, { run: nothing }])) satisfies PhaseTable<{
      width: number;
    }>,
});
