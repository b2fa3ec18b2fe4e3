// Walks a path through the flows in windows of bounded size and looks which of them match. Stops when it has found enough, or has looked at
// so many or for so long as one request may, and then says how far it came.
import type { Queryable } from '../database.ts';
import { conditionOf, createValues, type FlowFilter } from './flow-filter.ts';
import type { FlowPath, IdRange } from './flow-paths.ts';
import { successor } from './id-order.ts';

export type WalkLimits = {
  /** Matches to find. */
  hitsMax: number;
  /** Flows to look at. */
  rowsMax: number;
  /** Milliseconds after which no further window is begun. */
  budgetMs: number;
};

export type Walk = {
  /** Ids of what was found, newest first. */
  ids: string[];
  /** Null: the path was walked to its end. Else all that is newer than this id, and the id itself, was looked at. */
  reached: string | null;
};

type Window = { looked: number; last: string | null; ids: string[] };

const FIRST_WINDOW_ROWS = 200;
const WINDOW_ROWS_MAX = 10_000;
/** What a window should take: large inputs make for small windows. */
const WINDOW_MS = 60;

/**
 * @param ranges where to look, from the newest to the oldest; they must not overlap
 */
export async function walkFlows(
  on: Queryable,
  search: { filter: FlowFilter; path: FlowPath; ranges: readonly IdRange[] },
  limits: WalkLimits,
): Promise<Walk> {
  const startedAt = performance.now();
  const ids: string[] = [];
  let rows = 0;
  let size = FIRST_WINDOW_ROWS;
  for (let range = search.ranges[0], next = 1; range !== undefined;) {
    const beganAt = performance.now();
    const window: Window = await readWindow(on, { ...search, range }, { rows: size, hits: limits.hitsMax - ids.length });
    ids.push(...window.ids);
    rows += window.looked;
    if (ids.length >= limits.hitsMax) return { ids, reached: ids.at(-1) ?? null };
    const isRangeDone = window.looked < size || window.last === null;
    const last = window.last;
    range = isRangeDone ? search.ranges[next++] : { ...range, ...(last === null ? {} : { before: last }) };
    if (range === undefined) break;
    if (rows >= limits.rowsMax || performance.now() - startedAt > limits.budgetMs)
      return { ids, reached: isRangeDone ? endOf(search.ranges[next - 2]) : last };
    size = nextSize(size, performance.now() - beganAt);
  }
  return { ids, reached: null };
}

// The range was looked at as a whole, down to the id it begins after, which itself belongs to the next one.
function endOf(range: IdRange | undefined): string | null {
  return range?.after === undefined ? null : successor(range.after);
}

function nextSize(size: number, tookMs: number): number {
  const wanted = (size * WINDOW_MS) / Math.max(tookMs, 1);
  return Math.round(Math.min(Math.max(wanted, FIRST_WINDOW_ROWS / 4), size * 4, WINDOW_ROWS_MAX));
}

async function readWindow(
  on: Queryable,
  { filter, path, range }: { filter: FlowFilter; path: FlowPath; range: IdRange },
  limits: { rows: number; hits: number },
): Promise<Window> {
  const values = createValues();
  const workspace = values.add(filter.workspace);
  const bounds = [
    ...(range.before === undefined ? [] : [`id < ${values.add(range.before)}::uuid`]),
    ...(range.after === undefined ? [] : [`id > ${values.add(range.after)}::uuid`]),
  ];
  const hit = conditionOf(filter, values);
  const rows = values.add(limits.rows);
  const arms = (path.kind === 'ids' ? [`id = ANY(${values.add(path.ids)}::uuid[])`] : path.conditions.map((write) => write(values))).map(
    (condition) =>
      `(SELECT id, (${hit}) AS hit FROM millrace.flows WHERE ${[`workspace = ${workspace}`, condition, ...bounds].join(' AND ')} ORDER BY id DESC LIMIT ${rows})`,
  );
  const result = await on.query<Window>(
    `WITH looked AS MATERIALIZED (SELECT id, hit FROM (${arms.join(' UNION ALL ')}) AS path ORDER BY id DESC LIMIT ${rows})
     SELECT (SELECT count(*)::int FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
       ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT ${values.add(limits.hits)})::text[] AS ids`,
    values.list,
  );
  return result.rows[0] ?? { looked: 0, last: null, ids: [] };
}
