// Makes an import that waits for its content.
import { AppError, newGroupId } from '@millrace/shared';
import type { Database } from '../database.ts';
import { takeKey, readKeptAnswer, type IdempotencyKey, type KeptAnswer } from './idempotency.ts';
import type { ImportOptions, StoredImport } from './stored-import.ts';

export type NewImport = {
  workspace: string;
  createdBy: string;
  dataset: string;
  mode: StoredImport['mode'];
  format: StoredImport['format'];
  options: ImportOptions;
  idempotency: IdempotencyKey | null;
  /** Makes the answer that a replay of the idempotency key gets. */
  respond(importId: string): { status: number; body: unknown };
};

export type CreatedImport = { kind: 'created'; importId: string; status: number; body: unknown } | KeptAnswer;

/** @throws AppError unknown-dataset when it was dropped meanwhile. */
export async function createImport(database: Pick<Database, 'transaction' | 'main'>, request: NewImport): Promise<CreatedImport> {
  const importId = newGroupId();
  const answer = request.respond(importId);
  const { workspace, idempotency } = request;
  const created = await database.transaction(async (client) => {
    if (idempotency !== null && !(await takeKey(client, { workspace, idempotency, ...answer }))) return false;
    const result = await client.query({
      name: 'create-import',
      text: `
INSERT INTO millrace.imports (id, workspace, dataset, dataset_id, mode, format, status, options, created_by)
SELECT $1, d.workspace, d.name, d.id, $4, $5, 'awaiting_content', $6, $7 FROM millrace.datasets d WHERE d.workspace = $2 AND d.name = $3`,
      values: [importId, workspace, request.dataset, request.mode, request.format, JSON.stringify(request.options), request.createdBy],
    });
    if (result.rowCount !== 1)
      throw new AppError('unknown-dataset', {
        errors: [{ pointer: '/dataset', code: 'unknown-dataset', message: 'No dataset has this name.' }],
      });
    return true;
  });
  if (created) return { kind: 'created', importId, ...answer };
  if (idempotency === null) throw new Error('an import without idempotency key was not inserted');
  return readKeptAnswer(database.main, workspace, idempotency);
}
