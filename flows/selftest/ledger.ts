// A flow whose effects can be counted: each phase inserts one row that commits together with the phase.
import { defineFlow, type PhaseContext, type PhaseTable } from '@millrace/sdk';
import { z } from 'zod';

const input = z.strictObject({ phases: z.int().min(1).max(20_000), key: z.string().min(1).max(200) });
type Input = z.infer<typeof input>;

export const ledger = defineFlow({
  name: 'selftest.ledger',
  version: 1,
  input,
  phases: ({ phases }) =>
    Object.fromEntries(
      Array.from({ length: phases }, (_, index) => [
        phaseName(index),
        { ...(index === 0 ? {} : { needs: [phaseName(index - 1)] }), run: insertRow },
      ]),
    ) satisfies PhaseTable<Input>,
});

function phaseName(index: number): string {
  return `phase-${index + 1}`;
}

async function insertRow(ctx: PhaseContext<Input>): Promise<void> {
  await ctx.transaction((client) => client.query('INSERT INTO selftest_ledger (key, phase) VALUES ($1, $2)', [ctx.input.key, ctx.phase]));
}
