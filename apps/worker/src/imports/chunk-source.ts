// The rows of one chunk for the store: COPY text part by part, what was rejected, and where each row stands in the file.
import type { ClaimedChunk, ChunkSource, NewReject } from '@millrace/store';
import { REJECTS_KEPT_MAX } from '@millrace/store';
import { createRowReader, rawExcerpt, type ColumnPlan, type ColumnSpec, type CsvDialect } from '@millrace/tabular';

/** Where the accepted rows of one part stand: line, first and last byte by row. */
type PartPlaces = { lines: readonly number[]; starts: readonly number[]; ends: readonly number[] };

type Pass = { places: PartPlaces[]; kept: NewReject[]; count: number };

/** Name of the column that holds the line a row came from. */
const LINE_COLUMN = '_line';

/** @param bytes the chunk as it stands in the file */
export function createChunkSource(chunk: Pick<ClaimedChunk, 'plan' | 'format' | 'firstLine' | 'rejectsKept'>, bytes: Buffer): ChunkSource {
  const reader = createRowReader({
    // The store keeps these as the parser made them, without knowing what they mean.
    plan: chunk.plan.columnPlan as ColumnPlan,
    dialect: chunk.plan.dialect as CsvDialect,
    columns: chunk.plan.columns as ColumnSpec[],
    format: chunk.format,
    lineColumn: LINE_COLUMN,
    rejectLimit: Math.max(0, REJECTS_KEPT_MAX - chunk.rejectsKept),
  });
  let pass: Pass = { places: [], kept: [], count: 0 };
  function* read(): Generator<Buffer, void, undefined> {
    const current: Pass = { places: [], kept: [], count: 0 };
    pass = current;
    for (const part of reader.readParts(bytes, chunk.firstLine)) {
      if (part.rowCount > 0) current.places.push({ lines: part.lines, starts: part.starts, ends: part.ends });
      for (const reject of part.rejects) current.kept.push(reject);
      current.count += part.rejectCount;
      yield* part.copyText;
    }
  }
  return {
    copyColumns: reader.copyColumns,
    read,
    rejects: () => ({ kept: pass.kept, count: pass.count }),
    lines: () => pass.places.flatMap(({ lines }) => lines),
    rawOf: (line) => {
      const part = pass.places.find(({ lines }) => (lines.at(-1) ?? 0) >= line);
      const row = part === undefined ? -1 : indexOfLine(part.lines, line);
      return part === undefined || row === -1 ? '' : rawExcerpt(bytes, part.starts[row] ?? 0, part.ends[row] ?? 0);
    },
  };
}

/** Binary search in ascending numbers; -1 when it is not among them. */
function indexOfLine(lines: readonly number[], line: number): number {
  let low = 0;
  let high = lines.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const found = lines[middle] ?? 0;
    if (found === line) return middle;
    if (found < line) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}
