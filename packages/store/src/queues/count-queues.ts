// Counts a workspace's work by where it stands. For people: every count is an index scan that stops at a limit, so a page costs the same
// beside a million waiting flows.
import type { Queryable } from '../database.ts';
import { DISPATCH_GRACE_MS } from '../flows/create-flows.ts';
import { SOON, SOON_ROWS_MAX } from '../workers/soon.ts';

/** Counts stop here: this many, or more. */
export const QUEUE_COUNT_MAX = 10_000;

export type QueueCounts = {
  /** Ready, in PostgreSQL, for a place in the queue. */
  backlog: number;
  /** In the queue, for a worker. */
  dispatched: number;
  running: number;
  /** Failed, for their next attempt, or interrupted and put off. */
  delayed: number;
  /** Not before a start time. */
  scheduled: number;
  held: { limit: number; rate: number; pause: number; worker: number };
  /** Suspended until a signal, a time, children or a callback. */
  waiting: number;
  failed: number;
};

/** `oldestAt`: when the oldest flow or import of which something is ready was accepted. */
export type QueueState = { counts: QueueCounts; oldestAt: Date | null };

type Row = Omit<QueueCounts, 'held'> & { limit: number; rate: number; pause: number; worker: number; oldestAt: Date | null };

/** The condition of the index phases_parked, word for word: without it the index cannot be used. */
const PARKED = `CASE WHEN status IN ('retrying', 'waiting') THEN true WHEN status = 'queued' AND NOT dispatched THEN held IS NOT NULL OR due_at IS NOT NULL ELSE false END`;
const capped = (where: string) =>
  `(SELECT count(*)::int FROM (SELECT FROM millrace.phases WHERE workspace = $1 AND ${where} LIMIT ${QUEUE_COUNT_MAX}) capped)`;
const parked = (where: string) => capped(`${PARKED} AND ${where}`);
const held = (why: string) => parked(`status = 'queued' AND held = '${why}'`);
const IN_QUEUE = `status = 'queued' AND dispatched`;
const PUT_OFF = `due_at > now() + interval '${DISPATCH_GRACE_MS} milliseconds'`;
// The first 48 bits of an id are its time.
const timeOf = (id: string) => `to_timestamp(('x' || replace(substr(${id}, 1, 13), '-', ''))::bit(48)::bigint / 1000.0)`;

export async function countFlowQueue(on: Queryable, workspace: string): Promise<QueueState> {
  const result = await on.query<Row>({
    name: 'count-flow-queue',
    text: `
WITH soon AS MATERIALIZED (
  SELECT workspace, id, status, dispatched, due_at FROM millrace.phases WHERE ${SOON} ORDER BY due_at LIMIT ${SOON_ROWS_MAX}
), moving AS (
  SELECT (count(*) FILTER (WHERE status = 'running'))::int AS running,
         (count(*) FILTER (WHERE ${IN_QUEUE} AND NOT ${PUT_OFF}))::int AS dispatched,
         (count(*) FILTER (WHERE ${IN_QUEUE} AND ${PUT_OFF}))::int AS put_off,
         min(id::text) FILTER (WHERE ${IN_QUEUE} AND NOT ${PUT_OFF}) AS oldest
  FROM soon WHERE workspace = $1
), backlog AS (
  SELECT count(*)::int AS count, min(id::text) AS oldest FROM (
    SELECT id FROM millrace.phases WHERE workspace = $1 AND status = 'queued' AND NOT dispatched AND due_at IS NULL AND held IS NULL
    ORDER BY rank, id LIMIT ${QUEUE_COUNT_MAX}) capped
)
SELECT b.count AS backlog, m.dispatched, m.running,
  least(${QUEUE_COUNT_MAX}, m.put_off + ${parked("status = 'retrying'")}) AS delayed,
  ${parked("status = 'queued' AND held IS NULL")} AS scheduled,
  ${held('limit')} AS "limit", ${held('rate')} AS rate, ${held('pause')} AS pause, ${held('worker')} AS worker,
  ${parked("status = 'waiting'")} AS waiting,
  ${capped("status IN ('failed', 'quarantined')")} AS failed,
  ${timeOf('least(b.oldest, m.oldest)')} AS "oldestAt"
FROM moving m, backlog b`,
    values: [workspace],
  });
  return toState(result.rows[0]);
}

/** Of imports the chunks are counted; `failed` are imports, and what a paused import has left is held. */
export async function countImportQueue(on: Queryable, workspace: string): Promise<QueueState> {
  const result = await on.query<Row>({
    name: 'count-import-queue',
    text: `
WITH open AS (
  SELECT status, greatest(0, coalesce(chunks_total, 0) - chunks_done) AS chunks, queued_at FROM millrace.imports
  WHERE workspace = $1 AND status IN ('queued', 'running', 'paused') LIMIT ${QUEUE_COUNT_MAX}
), soon AS MATERIALIZED (
  SELECT workspace, status, dispatched, due_at FROM millrace.import_chunks WHERE ${SOON} ORDER BY due_at LIMIT ${SOON_ROWS_MAX}
), moving AS (
  SELECT (count(*) FILTER (WHERE status = 'running'))::int AS running,
         (count(*) FILTER (WHERE ${IN_QUEUE} AND NOT ${PUT_OFF}))::int AS dispatched,
         (count(*) FILTER (WHERE ${IN_QUEUE} AND ${PUT_OFF}))::int AS put_off
  FROM soon WHERE workspace = $1
), chunks AS (
  SELECT coalesce(sum(chunks) FILTER (WHERE status <> 'paused'), 0)::int AS open, coalesce(sum(chunks) FILTER (WHERE status = 'paused'), 0)::int AS paused,
         min(queued_at) FILTER (WHERE status <> 'paused' AND chunks > 0) AS oldest FROM open
)
SELECT least(${QUEUE_COUNT_MAX}, greatest(0, c.open - m.running - m.dispatched - m.put_off)) AS backlog, m.dispatched, m.running, m.put_off AS delayed,
  0 AS scheduled, 0 AS "limit", 0 AS rate, least(${QUEUE_COUNT_MAX}, c.paused) AS pause, 0 AS worker, 0 AS waiting,
  (SELECT count(*)::int FROM (SELECT FROM millrace.imports WHERE workspace = $1 AND status = 'failed' LIMIT ${QUEUE_COUNT_MAX}) capped) AS failed,
  c.oldest AS "oldestAt"
FROM moving m, chunks c`,
    values: [workspace],
  });
  return toState(result.rows[0]);
}

function toState(row: Row | undefined): QueueState {
  if (row === undefined) throw new Error('a count without a row');
  const { limit, rate, pause, worker, oldestAt, ...counts } = row;
  return { counts: { ...counts, held: { limit, rate, pause, worker } }, oldestAt };
}

/** Chunks loaded and imports failed per minute, over the newest imports of the workspace. */
export async function readImportRate(on: Queryable, workspace: string, minutes: number): Promise<{ completed: number; failed: number }> {
  const result = await on.query<{ completed: number; failed: number }>({
    name: 'read-import-rate',
    text: `
WITH recent AS (
  SELECT id, status, finished_at FROM millrace.imports WHERE workspace = $1 ORDER BY id DESC LIMIT 100
), active AS (
  SELECT * FROM recent WHERE status = 'running' OR finished_at > now() - $2::int * interval '1 minute'
), loaded AS (
  SELECT FROM active a JOIN millrace.import_chunks c ON c.id > a.id AND c.id <= overlay(a.id::text PLACING 'ffff' FROM 33)::uuid
  WHERE c.status = 'done' AND c.finished_at > now() - $2::int * interval '1 minute' LIMIT ${QUEUE_COUNT_MAX}
)
SELECT (SELECT count(*) FROM loaded) / $2::float8 AS completed, (SELECT count(*) FROM active WHERE status = 'failed') / $2::float8 AS failed`,
    values: [workspace, minutes],
  });
  return result.rows[0] ?? { completed: 0, failed: 0 };
}
