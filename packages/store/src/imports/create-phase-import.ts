// Makes the import of a phase, or finds the one that an earlier attempt has made.
import { newGroupId } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import { IMPORT_COLUMNS, type ImportOptions, type StoredImport } from './stored-import.ts';

export type NewPhaseImport = {
  phase: { id: string; flowId: string; workspace: string; run: number };
  /** Tells the imports of one phase and run apart. */
  key: string;
  dataset: string;
  mode: StoredImport['mode'];
  format: StoredImport['format'];
  options: ImportOptions;
};

/** It belongs to whoever started the flow. Undefined when there is no such dataset. */
export async function createPhaseImport(
  on: Queryable,
  request: NewPhaseImport,
): Promise<{ import: StoredImport; isNew: boolean } | undefined> {
  const { phase, key } = request;
  const before = await findPhaseImport(on, request);
  if (before !== undefined) return { import: before, isNew: false };
  const made = await on.query<StoredImport>({
    name: 'create-phase-import',
    text: `
INSERT INTO millrace.imports (id, workspace, dataset, dataset_id, mode, format, status, options, created_by, phase_id, phase_run, phase_key)
SELECT $1, d.workspace, d.name, d.id, $4, $5, 'awaiting_content', $6, f.created_by, $7, $8, $9
FROM millrace.datasets d, millrace.flows f WHERE d.workspace = $2 AND d.name = $3 AND f.id = $10
ON CONFLICT (phase_id, phase_run, phase_key) WHERE phase_id IS NOT NULL DO NOTHING
RETURNING ${IMPORT_COLUMNS}`,
    values: [
      newGroupId(),
      phase.workspace,
      request.dataset,
      request.mode,
      request.format,
      JSON.stringify(request.options),
      phase.id,
      phase.run,
      key,
      phase.flowId,
    ],
  });
  const [created] = made.rows;
  if (created !== undefined) return { import: created, isNew: true };
  // An attempt that was left behind may have been faster.
  const other = await findPhaseImport(on, request);
  return other === undefined ? undefined : { import: other, isNew: false };
}

/** The import that this phase has made in this run under this key. */
export async function findPhaseImport(
  on: Queryable,
  { phase, key }: { phase: { id: string; run: number }; key: string },
): Promise<StoredImport | undefined> {
  const result = await on.query<StoredImport>({
    name: 'find-phase-import',
    text: `SELECT ${IMPORT_COLUMNS} FROM millrace.imports WHERE phase_id = $1 AND phase_run = $2 AND phase_key = $3`,
    values: [phase.id, phase.run, key],
  });
  return result.rows[0];
}
