// Renews the leases of running phases, all of a worker's in one statement.
import type pg from 'pg';
import type { Queryable } from '../database.ts';

export type HeldPhase = { id: string; fence: number };

// A row that another transaction holds just now is being committed or released: it is skipped rather than waited for, which also
// means that renewal can never be part of a deadlock. It is told apart: nobody else has it, but its lease was not put off.
const RENEW = `
WITH asked AS (
  SELECT * FROM unnest($1::uuid[], $2::bigint[]) AS a (id, fence)
), alive AS (
  SELECT p.id FROM millrace.phases p JOIN asked a ON a.id = p.id
  WHERE p.id = ANY($1) AND p.fence = a.fence AND p.status = 'running' AND p.lease_owner = $3
), free AS (
  SELECT p.id FROM millrace.phases p WHERE p.id = ANY(ARRAY(SELECT id FROM alive)) ORDER BY p.id FOR UPDATE SKIP LOCKED
), renewed AS (
  UPDATE millrace.phases p SET due_at = now() + $4::int * interval '1 millisecond'
  FROM free f JOIN asked a ON a.id = f.id
  WHERE p.id = f.id AND p.id = ANY($1) AND p.fence = a.fence AND p.status = 'running'
)
SELECT a.id, EXISTS (SELECT FROM free f WHERE f.id = a.id) AS renewed FROM alive a`;

/**
 * Phases that this worker still has, by id. `renewed`: until a whole lease from now. `busy`: as long as before, because somebody held the row
 * just now. What is not among them is lost: its handler must stop.
 */
export type RenewedLeases = Map<string, 'renewed' | 'busy'>;

export async function renewLeases(
  hot: pg.Pool,
  held: readonly HeldPhase[],
  lease: { worker: string; leaseMs: number },
): Promise<RenewedLeases> {
  if (held.length === 0) return new Map();
  const result = await hot.query<{ id: string; renewed: boolean }>({
    name: 'renew-leases',
    text: RENEW,
    values: [held.map((phase) => phase.id), held.map((phase) => phase.fence), lease.worker, lease.leaseMs],
  });
  return new Map(result.rows.map((row) => [row.id, row.renewed ? 'renewed' : 'busy']));
}

/**
 * Renews one lease, and waits for its row if somebody holds it: a handler that keeps steps or starts child flows without a pause holds its own
 * row nearly all the time. Holds no other row meanwhile, so it cannot be part of a deadlock either. False when the phase is lost.
 */
export async function renewHeldLease(on: Queryable, held: HeldPhase, lease: { worker: string; leaseMs: number }): Promise<boolean> {
  const result = await on.query({
    name: 'renew-held-lease',
    text: `UPDATE millrace.phases SET due_at = clock_timestamp() + $4::int * interval '1 millisecond'
           WHERE id = $1 AND fence = $2 AND status = 'running' AND lease_owner = $3`,
    values: [held.id, held.fence, lease.worker, lease.leaseMs],
  });
  return result.rowCount === 1;
}
