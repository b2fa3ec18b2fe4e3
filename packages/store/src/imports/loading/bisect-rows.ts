// Finds the rows that PostgreSQL refuses although the parser let them pass, by halving, and merges all the others.
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

/** First a trial, which is rolled back, then the merge of what passed it as a whole: so that first, last and all counts mean what they always do. */
export async function bisectRows(client: PoolClient, bisection: Bisection): Promise<MergeResult & { refused: RefusedRow[] }> {
  await client.query('SAVEPOINT trial');
  const refused = await findRefused(client, bisection);
  await client.query('ROLLBACK TO SAVEPOINT trial');
  await client.query('RELEASE SAVEPOINT trial');
  const merged = await mergeRows(client, bisection.target, {
    sql: bisection.stage.remainingSource,
    values: [refused.map((row) => row.line)],
  });
  return { ...merged, refused };
}

async function findRefused(client: PoolClient, bisection: Bisection): Promise<RefusedRow[]> {
  const refused: RefusedRow[] = [];
  // A stack of ranges of `lines` still to be tried; the next one is on top.
  const ranges: [from: number, to: number][] = bisection.lines.length === 0 ? [] : [[0, bisection.lines.length]];
  for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
    bisection.signal.throwIfAborted();
    const [from, to] = range;
    const error = await faultOfRange(client, bisection, range);
    if (error === null) continue;
    if (to - from === 1) refused.push({ line: bisection.lines[from] ?? 0, ...describeRefusal(error) });
    else {
      const middle = from + Math.floor((to - from) / 2);
      ranges.push([middle, to], [from, middle]);
    }
  }
  return refused;
}

async function faultOfRange(client: PoolClient, { target, stage, lines }: Bisection, [from, to]: [number, number]): Promise<Error | null> {
  await client.query('SAVEPOINT range');
  try {
    await mergeRows(client, target, { sql: stage.rangeSource, values: [lines[from], lines[to - 1]] });
    await client.query('RELEASE SAVEPOINT range');
    return null;
  } catch (error) {
    if (!isDataFault(error) || !(error instanceof Error)) throw error;
    await client.query('ROLLBACK TO SAVEPOINT range');
    await client.query('RELEASE SAVEPOINT range');
    return error;
  }
}

function describeRefusal(error: Error & { column?: unknown }): { column: string | null; message: string } {
  const column = typeof error.column === 'string' ? error.column : null;
  return { column, message: `PostgreSQL refuses the row: ${error.message}`.slice(0, MESSAGE_CHARS_MAX) };
}
