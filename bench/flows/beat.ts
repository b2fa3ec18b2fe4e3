// A flow for measuring how long a committed event takes to a client: phases in a row, each after a short pause, so that nothing queues up.
import { setTimeout as delay } from 'node:timers/promises';
import { defineFlow, type PhaseTable } from '@millrace/sdk';
import { z } from 'zod';

const input = z.strictObject({ phases: z.int().min(1).max(10_000), pauseMs: z.int().min(0).max(1_000) });
type Input = z.infer<typeof input>;

export default defineFlow({
  name: 'bench.beat',
  version: 1,
  input,
  phases: ({ phases }) =>
    Object.fromEntries(
      Array.from({ length: phases }, (_, index) => [
        `beat-${index + 1}`,
        {
          ...(index === 0 ? {} : { needs: [`beat-${index}`] }),
          run: async (ctx) => {
            await delay(ctx.input.pauseMs);
          },
        },
      ]),
    ) satisfies PhaseTable<Input>,
});
