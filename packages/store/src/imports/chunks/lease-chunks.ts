// Keeps the lease of a running chunk alive, and ends the database session of a worker that has lost it.
import type pg from 'pg';
import type { Queryable } from '../../database.ts';

// As for phases: a row that is being committed just now is skipped rather than waited for, and still counts as alive.
const RENEW = `
WITH alive AS (
  SELECT id FROM millrace.import_chunks WHERE id = $1 AND fence = $2 AND status = 'running' AND lease_owner = $3
), free AS (
  SELECT c.id FROM millrace.import_chunks c WHERE c.id IN (SELECT id FROM alive) FOR UPDATE SKIP LOCKED
), renewed AS (
  UPDATE millrace.import_chunks c SET due_at = now() + $4::int * interval '1 millisecond' FROM free f WHERE c.id = f.id AND c.fence = $2 AND c.status = 'running'
)
SELECT id FROM alive`;

/** False when the lease is lost or the chunk was cancelled: the work on it must stop. */
export async function renewChunkLease(
  hot: pg.Pool,
  held: { id: string; fence: number },
  lease: { worker: string; leaseMs: number },
): Promise<boolean> {
  const result = await hot.query({ name: 'renew-chunk-lease', text: RENEW, values: [held.id, held.fence, lease.worker, lease.leaseMs] });
  return result.rows.length === 1;
}

/** The name under which a session shows that loads this chunk under this fence; at most 63 characters. */
function sessionName(held: { id: string; fence: number }): string {
  return `millrace ${held.id}/${held.fence}`;
}

/** Marks the open transaction as the one that loads a chunk, so that it can be found if its worker does not answer any more. */
export async function markSession(on: Queryable, held: { id: string; fence: number }): Promise<void> {
  await on.query("SELECT set_config('application_name', $1, true)", [sessionName(held)]);
}

/**
 * Ends sessions that still load chunks whose lease is lost. A stopped process in the middle of COPY would otherwise keep its rows locked for
 * as long as it is stopped, because no time-out of the server applies while it waits for copy data.
 */
export async function endLostSessions(on: Queryable, lost: readonly { id: string; fence: number }[]): Promise<void> {
  if (lost.length === 0) return;
  await on.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ANY($1) AND pid <> pg_backend_pid()', [
    lost.map((held) => sessionName(held)),
  ]);
}
