// What PostgreSQL says should be in the import queue and may not be: dispatched chunks that nobody claimed, and leases that ran out.
import { groupIdOf, type Dispatch, type JobRef } from '@millrace/shared';
import type pg from 'pg';
import type { Database } from '../../database.ts';
import type { LoggedEvent } from '../../events/logged-event.ts';
import { DISPATCH_GRACE_MS } from '../../flows/create-flows.ts';
import { CHUNK_ATTEMPTS, CHUNK_PRIORITY } from '../accept-content.ts';
import { lockImport, markFailed } from '../import-change.ts';
import { endLostSessions } from './lease-chunks.ts';

/** A process may die this often under one chunk before the import fails. Generous: a fault of the file shows as a reject, not as a crash. */
const CRASHES_MAX = 10;

const DISPATCH_COLUMNS = `c.id, c.generation, c.workspace, ${CHUNK_PRIORITY} AS priority, greatest(1, ${CHUNK_ATTEMPTS} - c.attempts) AS attempts, 0 AS "delayMs"`;

/** Running chunks whose lease has run out. */
export async function expiredChunks(hot: pg.Pool, limit: number): Promise<{ id: string; fence: number }[]> {
  const result = await hot.query<{ id: string; fence: string }>({
    name: 'expired-chunks',
    text: "SELECT id, fence FROM millrace.import_chunks WHERE due_at <= now() AND status = 'running' ORDER BY due_at LIMIT $1",
    values: [limit],
  });
  return result.rows.map((row) => ({ id: row.id, fence: Number(row.fence) }));
}

/** Takes a chunk from a worker whose lease has run out and dispatches it again. Null when it was renewed, released or finished meanwhile. */
export async function reclaimChunk(
  database: Pick<Database, 'transaction' | 'main'>,
  lost: { id: string; fence: number },
): Promise<{ dispatches: Dispatch[]; events: LoggedEvent[] } | null> {
  // First, because the lost session may hold the very rows that are changed here.
  await endLostSessions(database.main, [lost]);
  return database.transaction(async (client) => {
    const importId = groupIdOf(lost.id);
    await lockImport(client, importId);
    const freed = await client.query<Dispatch & { crashes: number }>({
      name: 'reclaim-chunk',
      text: `
UPDATE millrace.import_chunks c SET status = 'queued', generation = c.generation + 1, dispatched = true, lease_owner = NULL, crashes = c.crashes + 1,
  due_at = now() + interval '${DISPATCH_GRACE_MS} milliseconds'
WHERE c.id = $1 AND c.fence = $2 AND c.status = 'running' AND c.due_at < now() RETURNING ${DISPATCH_COLUMNS}, c.crashes`,
      values: [lost.id, lost.fence],
    });
    const [row] = freed.rows;
    if (row === undefined) return null;
    const { crashes, ...dispatch } = row;
    if (crashes < CRASHES_MAX) return { dispatches: [dispatch], events: [] };
    return {
      dispatches: [],
      events: await markFailed(client, importId, { code: 'internal', message: `The process that loads it ended ${crashes} times.` }),
    };
  });
}

/** Dispatched chunks that nobody claimed within the grace time: their jobs may be gone from Redis. */
export async function unclaimedChunks(hot: pg.Pool, limit: number): Promise<JobRef[]> {
  const result = await hot.query<JobRef>({
    name: 'unclaimed-chunks',
    text: "SELECT id, generation FROM millrace.import_chunks WHERE due_at <= now() AND status = 'queued' AND dispatched ORDER BY due_at LIMIT $1",
    values: [limit],
  });
  return result.rows;
}

/** Dispatches again what was found missing, under a new generation, unless someone did it or claimed it meanwhile. */
export async function dispatchChunksAgain(hot: pg.Pool, missing: readonly JobRef[]): Promise<Dispatch[]> {
  if (missing.length === 0) return [];
  const result = await hot.query<Dispatch>({
    name: 'dispatch-chunks-again',
    text: `
WITH free AS (
  SELECT c.id FROM millrace.import_chunks c JOIN unnest($1::uuid[], $2::int[]) AS a (id, generation) ON a.id = c.id
  WHERE c.id = ANY($1) AND c.generation = a.generation AND c.status = 'queued' AND c.dispatched FOR UPDATE OF c SKIP LOCKED
)
UPDATE millrace.import_chunks c SET generation = c.generation + 1, due_at = now() + interval '${DISPATCH_GRACE_MS} milliseconds'
FROM free WHERE c.id = free.id AND c.id = ANY($1) RETURNING ${DISPATCH_COLUMNS}`,
    values: [missing.map((job) => job.id), missing.map((job) => job.generation)],
  });
  return result.rows;
}

/** Looks at these again after another grace time: their jobs are where they should be, waiting for a worker. */
export async function postponeChunkCheck(hot: pg.Pool, waiting: readonly JobRef[]): Promise<void> {
  if (waiting.length === 0) return;
  await hot.query({
    name: 'postpone-chunk-check',
    text: `
WITH free AS (
  SELECT c.id FROM millrace.import_chunks c JOIN unnest($1::uuid[], $2::int[]) AS a (id, generation) ON a.id = c.id
  WHERE c.id = ANY($1) AND c.generation = a.generation AND c.status = 'queued' AND c.dispatched FOR UPDATE OF c SKIP LOCKED
)
UPDATE millrace.import_chunks c SET due_at = now() + interval '${DISPATCH_GRACE_MS} milliseconds' FROM free WHERE c.id = free.id AND c.id = ANY($1)`,
    values: [waiting.map((job) => job.id), waiting.map((job) => job.generation)],
  });
}
