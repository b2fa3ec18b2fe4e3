// One step of an operation: what it does to flows and what it notes about itself are one transaction, so that a step is done once or not at
// all, whoever dies, and a worker that lost its lease can do none.
import type { OperationStatus } from '@millrace/shared';
import type { Database, PoolClient } from '../database.ts';
import { OPERATION_COLUMNS, type CanaryState, type OperationCursor, type StoredOperation } from './stored-operation.ts';
import type { HeldOperation } from './take-operation.ts';

/** What a step changes. Counts are added; what is left out stays. */
export type OperationChange = {
  done?: number;
  succeeded?: number;
  skipped?: number;
  failed?: number;
  total?: { count: number; capped: boolean };
  cursor?: OperationCursor;
  canary?: CanaryState;
  pacedAtMs?: number;
  message?: string;
  /** Ends the operation. */
  end?: Extract<OperationStatus, 'completed' | 'stopped' | 'failed'>;
};

/**
 * Runs `step` on the operation as it is now, locked, and keeps what it changes; the lease begins anew. Undefined when the operation has
 * ended or is somebody else's: then nothing was done.
 */
export async function stepOperation<Result>(
  database: Pick<Database, 'transaction'>,
  held: HeldOperation & { leaseMs: number },
  step: (client: PoolClient, operation: StoredOperation) => Promise<{ change: OperationChange; result: Result }>,
): Promise<Result | undefined> {
  return database.transaction(async (client) => {
    const found = await client.query<StoredOperation>({
      name: 'lock-operation',
      text: `SELECT ${OPERATION_COLUMNS} FROM millrace.operations WHERE id = $1 AND fence = $2 AND due_at IS NOT NULL FOR UPDATE`,
      values: [held.id, held.fence],
    });
    const operation = found.rows[0];
    if (operation === undefined) return undefined;
    const { change, result } = await step(client, operation);
    await keepChange(client, held, change);
    return result;
  });
}

async function keepChange(client: PoolClient, held: HeldOperation & { leaseMs: number }, change: OperationChange): Promise<void> {
  await client.query({
    name: 'change-operation',
    text: `
UPDATE millrace.operations
SET done = done + $2, succeeded = succeeded + $3, skipped = skipped + $4, failed = failed + $5,
    total = CASE WHEN $12::text IS NOT NULL THEN greatest(coalesce($6, total), done + $2) ELSE coalesce($6, total) END, total_capped = coalesce($7, total_capped),
    cursor = coalesce($8, cursor), canary = coalesce($9, canary), paced_at = coalesce(to_timestamp($10::float8 / 1000), paced_at),
    message = coalesce($11, message), status = coalesce($12, status), finished_at = CASE WHEN $12::text IS NOT NULL THEN clock_timestamp() END,
    due_at = CASE WHEN $12::text IS NULL THEN clock_timestamp() + $13::int * interval '1 millisecond' END,
    lease_owner = CASE WHEN $12::text IS NULL THEN lease_owner END, failures = 0
WHERE id = $1`,
    values: [
      held.id,
      change.done ?? 0,
      change.succeeded ?? 0,
      change.skipped ?? 0,
      change.failed ?? 0,
      change.total?.count ?? null,
      change.total?.capped ?? null,
      change.cursor === undefined ? null : JSON.stringify(change.cursor),
      change.canary === undefined ? null : JSON.stringify(change.canary),
      change.pacedAtMs ?? null,
      change.message ?? null,
      change.end ?? null,
      held.leaseMs,
    ],
  });
  if (change.end !== undefined) await client.query('DELETE FROM millrace.operation_runs WHERE operation_id = $1', [held.id]);
}
