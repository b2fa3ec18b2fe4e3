// Hands operations to workers, one worker at a time each: a lease in `due_at`, a fence that every step checks.
import type { Queryable } from '../database.ts';
import { OPERATION_COLUMNS, type StoredOperation } from './stored-operation.ts';

export type HeldOperation = { id: string; fence: string };

/** The operation that has waited longest for its next step, taken for `leaseMs`; undefined when none is due. */
export async function takeOperation(on: Queryable, lease: { worker: string; leaseMs: number }): Promise<StoredOperation | undefined> {
  const result = await on.query<StoredOperation>({
    name: 'take-operation',
    text: `
UPDATE millrace.operations
SET fence = fence + 1, lease_owner = $1, failures = failures + 1, due_at = now() + $2::int * interval '1 millisecond',
    status = 'running', started_at = coalesce(started_at, now())
WHERE id = (SELECT id FROM millrace.operations WHERE due_at <= now() ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING ${OPERATION_COLUMNS}`,
    values: [lease.worker, lease.leaseMs],
  });
  return result.rows[0];
}

/**
 * Gives an operation back until its next step is due. Nothing happens when it has ended, or somebody else has it.
 * @param next `failed`: the taking came to nothing; too many of these in a row fail the operation
 */
export async function giveBackOperation(on: Queryable, held: HeldOperation, next: { waitMs: number; failed: boolean }): Promise<void> {
  await on.query({
    name: 'give-back-operation',
    text: `UPDATE millrace.operations SET due_at = now() + $3::int * interval '1 millisecond', lease_owner = NULL, failures = CASE WHEN $4 THEN failures ELSE 0 END
           WHERE id = $1 AND fence = $2 AND due_at IS NOT NULL`,
    values: [held.id, held.fence, Math.ceil(next.waitMs), next.failed],
  });
}

/** Forgets operations that ended longer ago than `days`, at most `limit` of them. */
export async function pruneOperations(on: Queryable, { days, limit }: { days: number; limit: number }): Promise<number> {
  const result = await on.query({
    name: 'prune-operations',
    text: `DELETE FROM millrace.operations WHERE id = ANY(ARRAY(
             SELECT id FROM millrace.operations WHERE finished_at < now() - $1::int * interval '1 day' ORDER BY finished_at LIMIT $2))`,
    values: [days, limit],
  });
  return result.rowCount ?? 0;
}
