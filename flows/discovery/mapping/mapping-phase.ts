// Phase `mapping`: samples the imported columns and maps them to canonical fields. Everything after it works on fields, not on columns.
import { AppError } from '@millrace/shared';
import type { ImportedRows, PhaseContext } from '@millrace/sdk';
import { z } from 'zod';
import type { DiscoveryInput } from '../discovery-input.ts';
import { asOfDate } from './as-of-date.ts';
import { canonicalFieldSchema } from './canonical-fields.ts';
import { fieldMappingSchema, mapFields } from './map-fields.ts';
import { SAMPLE_SIZE, type ColumnSample } from './value-evidence.ts';

export const mappingOutputSchema = z.object({
  /** The day that ages and ends of life are judged by. */
  asOf: z.iso.date(),
  dataset: z.string(),
  rows: z.number().int(),
  columns: z.number().int(),
  fields: z.array(fieldMappingSchema),
  unmapped: z.array(z.string()),
  missing: z.array(canonicalFieldSchema),
});

export type MappingOutput = z.infer<typeof mappingOutputSchema>;

/** @throws AppError `validation` when no column can be told to hold the names. */
export async function runMapping(ctx: PhaseContext<DiscoveryInput>): Promise<MappingOutput> {
  const asOf = asOfDate(ctx.input.asOf, ctx.flowId);
  const imported = await ctx.imported(ctx.input.importId);
  const samples = await sampleColumns(ctx, imported);
  const result = mapFields(samples);
  if (!result.fields.some((mapping) => mapping.field === 'name')) {
    throw new AppError('validation', { detail: 'No column of this import looks like the name of a package or an application.' });
  }
  const unsure = result.fields.filter((mapping) => mapping.confidence < 0.75).length;
  ctx.log.info(`Mapped ${result.fields.length} of ${samples.length} columns, ${unsure} of them with doubt.`, { unmapped: result.unmapped });
  ctx.progress(1, `${result.fields.length} of ${samples.length} columns mapped`);
  return { asOf, dataset: imported.dataset, rows: imported.rowCount, columns: samples.length, ...result };
}

async function sampleColumns(ctx: PhaseContext<DiscoveryInput>, imported: ImportedRows): Promise<ColumnSample[]> {
  const samples = imported.columns.map(({ name }) => ({ column: name, filled: 0, values: [] as string[] }));
  let read = 0;
  for await (const batch of imported.batches()) {
    ctx.signal.throwIfAborted();
    for (const row of batch) for (const sample of samples) addValue(sample, row[sample.column]);
    read += batch.length;
    ctx.progress(Math.min(0.9, read / Math.max(1, imported.rowCount)), `${read} rows looked at`);
    if (samples.every((sample) => sample.values.length >= SAMPLE_SIZE)) break;
  }
  return samples;
}

function addValue(sample: { filled: number; values: string[] }, value: string | null | undefined): void {
  const text = value?.trim() ?? '';
  if (text === '') return;
  sample.filled += 1;
  if (sample.values.length < SAMPLE_SIZE) sample.values.push(text);
}
