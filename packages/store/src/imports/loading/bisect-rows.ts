// Finds the rows that PostgreSQL refuses although the parser let them pass, by halving: every other row of the chunk goes in.
import { isDataFault, type PoolClient } from '../../database.ts';
import { mergeRows, type MergeResult, type MergeTarget } from './merge-rows.ts';
import type { Stage } from './stage-table.ts';

export type RefusedRow = { line: number; column: string | null; message: string };

export type Bisection = {
  target: MergeTarget;
  /** Holds the chunk's rows as text. */
  stage: Stage;
  /** The lines in the stage, ascending. */
  lines: readonly number[];
  signal: AbortSignal;
};

const MESSAGE_CHARS_MAX = 500;

/** Merges ranges in the order of lines, so that first and last keep their meaning. Each range runs in a savepoint. */
export async function bisectRows(client: PoolClient, bisection: Bisection): Promise<MergeResult & { refused: RefusedRow[] }> {
  const total: MergeResult & { refused: RefusedRow[] } = { inserted: 0, updated: 0, unchanged: 0, superseded: 0, duplicates: [], refused: [] };
  // A stack of ranges of `lines` still to be merged; the next one is on top.
  const ranges: [from: number, to: number][] = bisection.lines.length === 0 ? [] : [[0, bisection.lines.length]];
  for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
    bisection.signal.throwIfAborted();
    const [from, to] = range;
    const merged = await mergeRange(client, bisection, range);
    if (merged.ok) add(total, merged.result);
    else if (to - from === 1) total.refused.push({ line: bisection.lines[from] ?? 0, ...describeRefusal(merged.error) });
    else {
      const middle = from + Math.floor((to - from) / 2);
      ranges.push([middle, to], [from, middle]);
    }
  }
  return total;
}

type RangeResult = { ok: true; result: MergeResult } | { ok: false; error: Error };

async function mergeRange(client: PoolClient, { target, stage, lines }: Bisection, [from, to]: [number, number]): Promise<RangeResult> {
  await client.query('SAVEPOINT range');
  try {
    const result = await mergeRows(client, target, { sql: stage.rangeSource, values: [lines[from], lines[to - 1]] });
    await client.query('RELEASE SAVEPOINT range');
    return { ok: true, result };
  } catch (error) {
    if (!isDataFault(error) || !(error instanceof Error)) throw error;
    await client.query('ROLLBACK TO SAVEPOINT range');
    await client.query('RELEASE SAVEPOINT range');
    return { ok: false, error };
  }
}

function add(total: MergeResult, part: MergeResult): void {
  total.inserted += part.inserted;
  total.updated += part.updated;
  total.unchanged += part.unchanged;
  total.superseded += part.superseded;
  total.duplicates.push(...part.duplicates);
}

function describeRefusal(error: Error & { column?: unknown }): { column: string | null; message: string } {
  const column = typeof error.column === 'string' ? error.column : null;
  return { column, message: `PostgreSQL refuses the row: ${error.message}`.slice(0, MESSAGE_CHARS_MAX) };
}
