// Phase `cleansing`: finds the inventory's conventions, cleans every row and counts what that changed. Later phases clean the rows
// again by the same conventions, which this phase hands on.
import type { PhaseContext } from '@millrace/sdk';
import { z } from 'zod';
import type { DiscoveryInput } from '../discovery-input.ts';
import type { CanonicalField } from '../mapping/canonical-fields.ts';
import { mappingOutputSchema, type MappingOutput } from '../mapping/mapping-phase.ts';
import { readItems, readRows } from '../read-items.ts';
import { itemLabel } from '../software-item.ts';
import { conventionsSchema, createConventionsCollector, type Conventions } from './conventions.ts';
import { createFixLedger, fixCountSchema } from './fix-ledger.ts';

export const cleansingOutputSchema = z.object({
  rows: z.number().int(),
  items: z.number().int(),
  rowsWithoutName: z.number().int(),
  /** Rows that say the same place, or the same name and version, as an earlier row. They are kept. */
  repeatedRows: z.number().int(),
  conventions: conventionsSchema,
  valuesFixed: z.number().int(),
  valuesFlagged: z.number().int(),
  fixes: z.array(fixCountSchema),
});

type CleansingOutput = z.infer<typeof cleansingOutputSchema>;

const needsSchema = z.object({ mapping: mappingOutputSchema });

export async function runCleansing(ctx: PhaseContext<DiscoveryInput>): Promise<CleansingOutput> {
  const { mapping } = needsSchema.parse(ctx.outputs);
  const conventions = await ctx.step('conventions', () => collectConventions(ctx, mapping));
  const ledger = createFixLedger();
  const seen = new Set<string>();
  let items = 0;
  const rows = await readItems(
    ctx,
    { fields: mapping.fields, conventions, progress: { from: 0.3, to: 1, doing: 'cleaning' }, note: ledger.note },
    (item) => {
      items += 1;
      seen.add(item.path ?? itemLabel(item));
    },
  );
  const fixes = ledger.counts();
  const output = { rows, items, rowsWithoutName: rows - items, repeatedRows: items - seen.size, conventions, ...totals(fixes), fixes };
  ctx.log.info(`Cleaned ${items} rows: ${output.valuesFixed} values fixed, ${output.valuesFlagged} flagged.`);
  return output;
}

async function collectConventions(ctx: PhaseContext<DiscoveryInput>, mapping: MappingOutput): Promise<Conventions> {
  const columns = new Map<CanonicalField, string>(mapping.fields.map(({ field, column }) => [field, column]));
  const collector = createConventionsCollector();
  await readRows(ctx, { from: 0, to: 0.3, doing: 'finding conventions' }, (row) => {
    collector.add((field) => row[columns.get(field) ?? ''] ?? null);
  });
  return collector.result();
}

function totals(fixes: readonly { outcome: 'fixed' | 'flagged'; count: number }[]): { valuesFixed: number; valuesFlagged: number } {
  const sum = (outcome: 'fixed' | 'flagged') => fixes.filter((fix) => fix.outcome === outcome).reduce((total, fix) => total + fix.count, 0);
  return { valuesFixed: sum('fixed'), valuesFlagged: sum('flagged') };
}
