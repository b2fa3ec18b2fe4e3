// Accepts an operation. After its commit some worker carries it out.
import { AppError, newId, type OperationKind } from '@millrace/shared';
import type { Database, PoolClient } from '../database.ts';
import { readKeptAnswer, takeKey, type IdempotencyKey, type KeptAnswer } from '../imports/idempotency.ts';
import { OPERATION_COLUMNS, type CanaryState, type OperationSelection, type StoredOperation } from './stored-operation.ts';

export type NewOperation = {
  workspace: string;
  createdBy: string;
  kind: OperationKind;
  selection: OperationSelection;
  /** Of a replay or purge: sorted. */
  incidents: readonly string[] | null;
  ratePerSecond: number;
  /** Null: a worker counts. */
  total: { count: number; capped: boolean } | null;
  /** Whether a replay watches its runs. */
  canary: boolean;
};

export type CreatedOperation = { kind: 'created'; status: number; body: unknown } | KeptAnswer;

/** @param answer makes what a client gets, and gets again when it repeats its idempotency key */
export async function createOperation(
  database: Pick<Database, 'main' | 'transaction'>,
  operation: NewOperation,
  { idempotency, answer }: { idempotency: IdempotencyKey | null; answer(stored: StoredOperation): { status: number; body: unknown } },
): Promise<CreatedOperation> {
  const taken = new Error('the idempotency key is taken');
  try {
    const given = await database.transaction(async (client) => {
      const made = answer(await insertOperation(client, operation));
      if (idempotency === null || (await takeKey(client, { workspace: operation.workspace, idempotency, ...made }))) return made;
      // Whoever took the key has made the operation: this one is rolled back.
      throw taken;
    });
    return { kind: 'created', ...given };
  } catch (error) {
    if (error !== taken || idempotency === null) throw error;
    return readKeptAnswer(database.main, operation.workspace, idempotency);
  }
}

const FIRST_CANARY: CanaryState = {
  sample: null,
  step: 0,
  stepLeft: 0,
  released: 0,
  recovered: 0,
  returned: 0,
  otherwise: 0,
  unjudged: 0,
};

async function insertOperation(client: PoolClient, operation: NewOperation): Promise<StoredOperation> {
  const result = await client.query<StoredOperation>(
    `INSERT INTO millrace.operations (id, workspace, kind, status, selection, incidents, rate_per_second, total, total_capped, canary, created_by)
     VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $9, $10) RETURNING ${OPERATION_COLUMNS}`,
    [
      newId(),
      operation.workspace,
      operation.kind,
      JSON.stringify(operation.selection),
      operation.incidents,
      operation.ratePerSecond,
      operation.total?.count ?? null,
      operation.total?.capped ?? false,
      operation.canary ? JSON.stringify(FIRST_CANARY) : null,
      operation.createdBy,
    ],
  );
  const row = result.rows[0];
  if (row === undefined) throw new AppError('internal');
  return row;
}
