// Reads an import's rows, batch by batch, for every phase that needs them again. Rows are never handed from phase to phase: that keeps
// outputs small whatever the inventory's size, and mapping and cleansing cost less than moving the rows would.
import type { PhaseContext } from '@millrace/sdk';
import { createRowCleaner, type RawRow } from './cleansing/clean-row.ts';
import type { Conventions } from './cleansing/conventions.ts';
import type { FixNote } from './cleansing/fix-ledger.ts';
import type { DiscoveryInput } from './discovery-input.ts';
import type { FieldMapping } from './mapping/map-fields.ts';
import type { SoftwareItem } from './software-item.ts';

type ReadProgress = { from: number; to: number; doing: string };

/** Calls `onRow` for each row in order, reports progress between two fractions, and ends with an error when the signal aborts. */
export async function readRows(
  ctx: PhaseContext<DiscoveryInput>,
  progress: ReadProgress,
  onRow: (row: RawRow, position: number) => void,
): Promise<number> {
  const imported = await ctx.imported(ctx.input.importId);
  const total = Math.max(1, imported.rowCount);
  let read = 0;
  for await (const batch of imported.batches()) {
    ctx.signal.throwIfAborted();
    for (const row of batch) onRow(row, (read += 1));
    ctx.progress(
      progress.from + (progress.to - progress.from) * Math.min(1, read / total),
      `${progress.doing}: ${read} of ${imported.rowCount} rows`,
    );
  }
  return read;
}

type ItemReader = {
  fields: readonly FieldMapping[];
  conventions: Conventions;
  progress: ReadProgress;
  /** Told about every fix. Default: nobody; only cleansing counts them. */
  note?: (fix: FixNote) => void;
};

/** As `readRows`, with the row cleaned. Rows without a name are passed over. Answers how many rows there were. */
export async function readItems(
  ctx: PhaseContext<DiscoveryInput>,
  reader: ItemReader,
  onItem: (item: SoftwareItem) => void,
): Promise<number> {
  const clean = createRowCleaner({ fields: reader.fields, conventions: reader.conventions, note: reader.note ?? (() => undefined) });
  return readRows(ctx, reader.progress, (row, position) => {
    const item = clean(row, position);
    if (item !== null) onItem(item);
  });
}
