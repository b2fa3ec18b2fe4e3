// What clients see of operations, and how they stop one.
import type { OperationKind, OperationStatus } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import { OPERATION_COLUMNS, type StoredOperation } from './stored-operation.ts';

type OperationTarget = { id: string; workspace: string };

export async function readOperation(on: Queryable, { id, workspace }: OperationTarget): Promise<StoredOperation | undefined> {
  const result = await on.query<StoredOperation>({
    name: 'read-operation',
    text: `SELECT ${OPERATION_COLUMNS} FROM millrace.operations WHERE id = $1 AND workspace = $2`,
    values: [id, workspace],
  });
  return result.rows[0];
}

/** Newest first. */
export async function listOperations(
  on: Queryable,
  page: { workspace: string; statuses?: readonly OperationStatus[]; kinds?: readonly OperationKind[]; before?: string; limit: number },
): Promise<StoredOperation[]> {
  const result = await on.query<StoredOperation>({
    name: 'list-operations',
    text: `SELECT ${OPERATION_COLUMNS} FROM millrace.operations
           WHERE workspace = $1 AND ($2::text[] IS NULL OR status = ANY($2)) AND ($3::text[] IS NULL OR kind = ANY($3)) AND ($4::uuid IS NULL OR id < $4)
           ORDER BY id DESC LIMIT $5`,
    values: [page.workspace, page.statuses ?? null, page.kinds ?? null, page.before ?? null, page.limit],
  });
  return result.rows;
}

export type StopOutcome =
  | { kind: 'stopped'; operation: StoredOperation }
  | { kind: 'not-found' }
  /** It had ended before. */
  | { kind: 'refused'; status: OperationStatus };

/** Stops an operation between two of its steps: this waits for the one that is under way, and after it nothing more is done. */
export async function stopOperation(
  database: Pick<Database, 'transaction'>,
  { id, workspace, by }: OperationTarget & { by: string },
): Promise<StopOutcome> {
  return database.transaction(async (client) => {
    const found = await client.query<{ status: OperationStatus }>(
      'SELECT status FROM millrace.operations WHERE id = $1 AND workspace = $2 FOR UPDATE',
      [id, workspace],
    );
    const [row] = found.rows;
    if (row === undefined) return { kind: 'not-found' };
    if (row.status !== 'queued' && row.status !== 'running') return { kind: 'refused', status: row.status };
    const stopped = await client.query<StoredOperation>(
      `UPDATE millrace.operations SET status = 'stopped', message = $2, finished_at = clock_timestamp(), due_at = NULL, lease_owner = NULL
       WHERE id = $1 RETURNING ${OPERATION_COLUMNS}`,
      [id, `stopped by ${by}`],
    );
    const operation = stopped.rows[0];
    return operation === undefined ? { kind: 'not-found' } : { kind: 'stopped', operation };
  });
}
