// Searches and counts flows. Every statement goes along one index, and no request looks at more than a bounded number of flows: a search
// that is cut short says where to go on, a count that it is a lower bound.
import { inTransaction, type Database, type PoolClient, type Queryable } from '../database.ts';
import type { StoredFlow } from '../flows/read-flow.ts';
import { createValues, type FlowFilter } from './flow-filter.ts';
import { choosePath, isWholeSearch, pathOfWhole, type IdRange } from './flow-paths.ts';
import { firstIdAt } from './id-order.ts';
import { inputRanges } from './input-blocks.ts';
import { walkFlows, type Walk, type WalkLimits } from './walk-flows.ts';

export type ListedFlow = Omit<StoredFlow, 'input' | 'seq_last' | 'pause'> & { phases_total: number; phases_open: number };

/** `next`: the page goes on with flows older than this id; it may have fewer than `limit`, or none. Null: there are no more. */
export type FlowPage = { flows: ListedFlow[]; next: string | null };

/** `capped`: there are at least `count`. */
export type FlowCount = { count: number; capped: boolean };

const COLUMNS =
  'id, name, version, status, run, workspace, tags, priority, error, run_at, created_at, started_at, finished_at, phases_total, phases_open, expires_at, concurrency_key, concurrency_limit';

/** What one page may cost. */
const PAGE = { rowsMax: 500_000, budgetMs: 500 };
/** What one count may cost. */
const COUNT = { rowsMax: 2_000_000, budgetMs: 1_500 };
const COUNT_MAX = 10_000;
/** One window among large inputs, on a busy server. Searches have connections of their own kind, so that reads of single flows never wait for them. */
const STATEMENT_MS = 5_000;
/** Ids are made by clocks of other machines than `created_at`; they are believed to be this near. */
const CLOCK_SKEW_MS = 3_600_000;

/** @param page `before`: only flows older than this id */
export async function searchFlows(
  database: Pick<Database, 'main' | 'long'>,
  filter: FlowFilter,
  page: { before?: string; limit: number },
): Promise<FlowPage> {
  if (isWholeSearch(filter)) return wholePage(database.main, filter, page);
  return inTransaction(database.long, async (client) => {
    const { ids, reached } = await searchFlowIds(client, filter, { ...page, hitsMax: page.limit + 1, ...PAGE });
    const shown = ids.slice(0, page.limit);
    return { flows: await readListed(client, shown), next: ids.length > shown.length ? (shown.at(-1) ?? null) : reached };
  });
}

/**
 * Ids of flows that match, newest first, within the limits. Inside a transaction, whose statements after it will prefer indexes.
 * `reached`: null when there are no more, else go on before this id.
 */
export async function searchFlowIds(client: PoolClient, filter: FlowFilter, walk: WalkLimits & { before?: string }): Promise<Walk> {
  // A search along the wrong path is only slow; one through the whole table would be slow for everybody.
  await client.query(`SET LOCAL enable_seqscan = off; SET LOCAL statement_timeout = ${STATEMENT_MS}`);
  const path = isWholeSearch(filter) ? pathOfWhole(filter) : await choosePath(client, filter);
  const ranges = await inputRanges(client, filter, idRange(filter, walk.before));
  return walkFlows(client, { filter, path, ranges }, walk);
}

/** Counts up to `max` (default 10,000). */
export async function countFlows(
  database: Pick<Database, 'long'>,
  filter: FlowFilter,
  limits: { max: number; rowsMax: number; budgetMs: number } = { max: COUNT_MAX, ...COUNT },
): Promise<FlowCount> {
  return inTransaction(database.long, (client) => countWithin(client, filter, limits));
}

/** The same inside a transaction. @param limits `before`: only flows older than this id */
export async function countWithin(
  client: PoolClient,
  filter: FlowFilter,
  { max, ...limits }: { max: number; rowsMax: number; budgetMs: number; before?: string },
): Promise<FlowCount> {
  const { ids, reached } = await searchFlowIds(client, filter, { hitsMax: max + 1, ...limits });
  return { count: Math.min(ids.length, max), capped: reached !== null };
}

/** The count, and the newest of what was counted. */
export async function previewFlows(
  database: Pick<Database, 'long'>,
  filter: FlowFilter,
  sampleMax: number,
): Promise<FlowCount & { sample: string[] }> {
  return inTransaction(database.long, async (client) => {
    const { ids, reached } = await searchFlowIds(client, filter, { hitsMax: COUNT_MAX + 1, ...COUNT });
    return { count: Math.min(ids.length, COUNT_MAX), capped: reached !== null, sample: ids.slice(0, sampleMax) };
  });
}

async function wholePage(on: Queryable, filter: FlowFilter, { before, limit }: { before?: string; limit: number }): Promise<FlowPage> {
  const values = createValues();
  const bounds = [`workspace = ${values.add(filter.workspace)}`, ...(before === undefined ? [] : [`id < ${values.add(before)}::uuid`])];
  const path = pathOfWhole(filter);
  if (path.kind === 'ids') return { flows: [], next: null };
  const count = values.add(limit + 1);
  const arms = path.conditions.map(
    (write) => `(SELECT ${COLUMNS} FROM millrace.flows WHERE ${[...bounds, write(values)].join(' AND ')} ORDER BY id DESC LIMIT ${count})`,
  );
  const result = await on.query<ListedFlow>(
    `SELECT * FROM (${arms.join(' UNION ALL ')}) AS path ORDER BY id DESC LIMIT ${count}`,
    values.list,
  );
  const flows = result.rows.slice(0, limit);
  return { flows, next: result.rows.length > limit ? (flows.at(-1)?.id ?? null) : null };
}

async function readListed(on: Queryable, ids: readonly string[]): Promise<ListedFlow[]> {
  if (ids.length === 0) return [];
  const result = await on.query<ListedFlow>(`SELECT ${COLUMNS} FROM millrace.flows WHERE id = ANY($1::uuid[]) ORDER BY id DESC`, [ids]);
  return result.rows;
}

// An id tells when it was made, so times of creation narrow the path before any row is looked at. A flow that ended before some time was
// also made before it.
function idRange({ createdAfter, createdBefore, finishedBefore }: FlowFilter, before: string | undefined): IdRange {
  const latestMs = Math.min(...[createdBefore, finishedBefore].map((at) => (at === undefined ? Number.POSITIVE_INFINITY : Date.parse(at))));
  const upper = [before, ...(Number.isFinite(latestMs) ? [firstIdAt(latestMs + CLOCK_SKEW_MS)] : [])]
    .filter((id) => id !== undefined)
    .sort();
  return {
    ...(createdAfter === undefined ? {} : { after: firstIdAt(Date.parse(createdAfter) - CLOCK_SKEW_MS) }),
    ...(upper[0] === undefined ? {} : { before: upper[0] }),
  };
}
