// What PostgreSQL says should be in the queue: the backlog that waits for room there, and dispatched phases that were not claimed in time.
import type { Dispatch, JobRef } from '@millrace/shared';
import type pg from 'pg';
import { DISPATCH_GRACE_MS } from './create-flows.ts';
import { hasOutlived, isHeardOf } from '../workers/announce-worker.ts';
import { isQueuePaused } from './readiness.ts';

const DISPATCH_COLUMNS = 'p.id, p.generation, p.workspace, p.priority, greatest(1, p.attempt_max - p.attempts) AS attempts';

/** What waits and may be dispatched: a scan of an index that holds nothing else. */
const WAITS = "status = 'queued' AND NOT dispatched AND due_at IS NULL AND held IS NULL";

/** Workspaces that have a backlog, the first `limit` after `after` by name. Costs one look into the index for each. */
export async function backlogLanes(hot: pg.Pool, { after, limit }: { after: string; limit: number }): Promise<BacklogLane[]> {
  const result = await hot.query<BacklogLane>({
    name: 'backlog-lanes',
    text: `
WITH RECURSIVE lanes AS (
  (SELECT workspace, 1 AS position FROM millrace.phases WHERE ${WAITS} AND workspace > $1 ORDER BY workspace LIMIT 1)
  UNION ALL
  SELECT n.workspace, l.position + 1 FROM lanes l CROSS JOIN LATERAL (
    SELECT workspace FROM millrace.phases WHERE ${WAITS} AND workspace > l.workspace ORDER BY workspace LIMIT 1) n
  WHERE l.position < $2
)
SELECT l.workspace, coalesce(w.weight, 1) AS weight, ${isQueuePaused('l.workspace')} AS paused FROM lanes l LEFT JOIN millrace.workspaces w ON w.name = l.workspace
ORDER BY l.position`,
    values: [after, limit],
  });
  return result.rows;
}

/** `paused`: its queue is, and nothing of it may be taken. */
export type BacklogLane = { workspace: string; weight: number; paused: boolean };

/** Takes phases out of the backlog, up to so many of each workspace, and answers them by workspace in the order of their rank. Safe from any number of processes. */
export async function takeBacklog(hot: pg.Pool, shares: readonly { workspace: string; count: number }[]): Promise<Dispatch[]> {
  const result = await hot.query<Dispatch>({
    name: 'take-backlog',
    text: `
WITH picked AS (
  SELECT p.id FROM unnest($1::text[], $2::int[]) AS s (workspace, count) CROSS JOIN LATERAL (
    SELECT id FROM millrace.phases WHERE ${WAITS} AND workspace = s.workspace ORDER BY rank, id LIMIT s.count FOR UPDATE SKIP LOCKED) p
), taken AS (
  UPDATE millrace.phases p SET dispatched = true, generation = p.generation + 1, due_at = now() + interval '${DISPATCH_GRACE_MS} milliseconds'
  FROM picked WHERE p.id = picked.id AND p.id = ANY(ARRAY(SELECT id FROM picked))
  RETURNING ${DISPATCH_COLUMNS}, 0 AS "delayMs", p.rank
)
SELECT id, generation, workspace, priority, attempts, "delayMs" FROM taken ORDER BY workspace, rank, id`,
    values: [shares.map((share) => share.workspace), shares.map((share) => share.count)],
  });
  return result.rows;
}

/** Lets phases whose start time has come into the backlog, or asks for their admission where a limit holds them. Answers how many. */
export async function releaseHeld(hot: pg.Pool, limit: number): Promise<number> {
  const result = await hot.query<{ count: number }>({
    name: 'release-held',
    text: `
WITH due AS (
  SELECT id FROM millrace.phases WHERE due_at <= now() AND status = 'queued' AND NOT dispatched ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
), released AS (
  UPDATE millrace.phases p SET due_at = NULL FROM due WHERE p.id = due.id AND p.id = ANY(ARRAY(SELECT id FROM due))
  RETURNING p.flow_id, p.workspace, p.held, p.rate_key
), admissions AS (
  INSERT INTO millrace.admissions (workspace, kind, key)
  SELECT DISTINCT r.workspace, 'limit', f.concurrency_key FROM released r JOIN millrace.flows f ON f.id = r.flow_id AND f.id = ANY(ARRAY(SELECT flow_id FROM released))
  WHERE r.held = 'limit'
  UNION SELECT DISTINCT workspace, 'rate', rate_key FROM released WHERE held = 'rate'
  ORDER BY 1, 2, 3
  ON CONFLICT DO NOTHING
)
SELECT count(*)::int AS count FROM released`,
    values: [limit],
  });
  return result.rows[0]?.count ?? 0;
}

/**
 * `crashes` before this one; `alone`: it ran in a process of its own. `owner`: what is known of its worker. alive: it was heard of since the
 * lease has run out, or it stops. silent: not yet. dead: it has been silent for so long that only those can say more who were out of touch themselves.
 */
export type LostClaim = { id: string; fence: number; crashes: number; alone: boolean; owner: 'alive' | 'silent' | 'dead' };

/** Running phases whose lease has run out: their fence names the claim that is to be declared lost. */
export async function expiredLeases(hot: pg.Pool, limit: number): Promise<LostClaim[]> {
  const result = await hot.query<Omit<LostClaim, 'fence'> & { fence: string }>({
    name: 'expired-leases',
    text: `
SELECT p.id, p.fence, p.crashes, p.alone,
       CASE WHEN ${hasOutlived('p.lease_owner', 'p.due_at')} THEN 'alive' WHEN ${isHeardOf('p.lease_owner')} THEN 'silent' ELSE 'dead' END AS owner
FROM millrace.phases p WHERE p.due_at <= now() AND p.status = 'running' ORDER BY p.due_at LIMIT $1`,
    values: [limit],
  });
  return result.rows.map((row) => ({ ...row, fence: Number(row.fence) }));
}

/** Waiting phases whose time is over. `suspended`: by its handler, which is to be woken; null: it waits for a signal and has failed. */
export async function overdueWaits(hot: pg.Pool, limit: number): Promise<{ id: string; suspended: string | null }[]> {
  const result = await hot.query<{ id: string; suspended: string | null }>({
    name: 'overdue-waits',
    text: "SELECT id, awaits->>'kind' AS suspended FROM millrace.phases WHERE due_at <= now() AND status = 'waiting' AND awaits->>'kind' IS DISTINCT FROM 'callback' ORDER BY due_at LIMIT $1",
    values: [limit],
  });
  return result.rows;
}

/** Dispatched phases, or retries past their time, that nobody claimed within the grace time: their jobs may be gone from Redis. */
export async function unclaimed(hot: pg.Pool, limit: number): Promise<JobRef[]> {
  const result = await hot.query<JobRef>({
    name: 'unclaimed',
    text: `
SELECT id, generation FROM millrace.phases
WHERE due_at <= now() AND ((status = 'queued' AND dispatched) OR (status = 'retrying' AND due_at <= now() - interval '${DISPATCH_GRACE_MS} milliseconds'))
ORDER BY due_at LIMIT $1`,
    values: [limit],
  });
  return result.rows;
}

/** Dispatches again what was found missing, under a new generation, unless someone did it or claimed it meanwhile. */
export async function dispatchAgain(hot: pg.Pool, missing: readonly JobRef[]): Promise<Dispatch[]> {
  if (missing.length === 0) return [];
  const result = await hot.query<Dispatch>({
    name: 'dispatch-again',
    text: `
WITH asked AS (
  SELECT * FROM unnest($1::uuid[], $2::int[]) AS a (id, generation)
), free AS (
  SELECT p.id FROM millrace.phases p JOIN asked a ON a.id = p.id
  WHERE p.id = ANY($1) AND p.generation = a.generation AND p.status IN ('queued', 'retrying') AND p.dispatched FOR UPDATE OF p SKIP LOCKED
)
UPDATE millrace.phases p SET generation = p.generation + 1, due_at = greatest(p.due_at, now()) + interval '${DISPATCH_GRACE_MS} milliseconds', status = 'queued'
FROM free WHERE p.id = free.id AND p.id = ANY($1)
RETURNING ${DISPATCH_COLUMNS}, 0 AS "delayMs"`,
    values: [missing.map((job) => job.id), missing.map((job) => job.generation)],
  });
  return result.rows;
}

/**
 * Looks at these again after another grace time: their jobs are where they should be, waiting for a worker. A retry whose time has come
 * is queued from then on; as long as it counted as retrying, its own time could not be put off.
 */
export async function postponeCheck(hot: pg.Pool, waiting: readonly JobRef[]): Promise<void> {
  if (waiting.length === 0) return;
  await hot.query({
    name: 'postpone-check',
    text: `
WITH free AS (
  SELECT p.id FROM millrace.phases p JOIN unnest($1::uuid[], $2::int[]) AS a (id, generation) ON a.id = p.id
  WHERE p.id = ANY($1) AND p.generation = a.generation AND p.status IN ('queued', 'retrying') AND p.dispatched AND p.due_at <= now() FOR UPDATE OF p SKIP LOCKED
)
UPDATE millrace.phases p SET status = 'queued', due_at = now() + interval '${DISPATCH_GRACE_MS} milliseconds' FROM free WHERE p.id = free.id AND p.id = ANY($1)`,
    values: [waiting.map((job) => job.id), waiting.map((job) => job.generation)],
  });
}
