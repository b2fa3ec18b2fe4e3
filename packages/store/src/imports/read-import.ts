// Reads imports: one, a page of them, and the head of one's event log for streams.
import { isTerminalImport, type ImportStatus } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import { IMPORT_COLUMNS, type StoredImport } from './stored-import.ts';

/** Undefined when there is none with this id in this workspace. */
export async function readImport(on: Queryable, target: { importId: string; workspace: string }): Promise<StoredImport | undefined> {
  const result = await on.query<StoredImport>({
    name: 'read-import',
    text: `SELECT ${IMPORT_COLUMNS} FROM millrace.imports WHERE id = $1 AND workspace = $2`,
    values: [target.importId, target.workspace],
  });
  return result.rows[0];
}

/** The head of an import's event log, and whether nothing can follow it any more. */
export async function readImportHead(
  on: Queryable,
  target: { importId: string; workspace: string },
): Promise<{ status: ImportStatus; seqLast: number; ended: boolean } | undefined> {
  const result = await on.query<{ status: ImportStatus; seqLast: number }>({
    name: 'read-import-head',
    text: 'SELECT status, seq_last AS "seqLast" FROM millrace.imports WHERE id = $1 AND workspace = $2',
    values: [target.importId, target.workspace],
  });
  const row = result.rows[0];
  return row === undefined ? undefined : { ...row, ended: isTerminalImport(row.status) };
}

export type ImportFilter = { workspace: string; dataset?: string; statuses?: readonly ImportStatus[]; before?: string; limit: number };

/** Newest first. `before`: imports older than this one. */
export async function listImports(on: Queryable, filter: ImportFilter): Promise<StoredImport[]> {
  const result = await on.query<StoredImport>({
    text: `SELECT ${IMPORT_COLUMNS} FROM millrace.imports
           WHERE workspace = $1 AND ($2::text IS NULL OR dataset = $2) AND ($3::text[] IS NULL OR status = ANY($3)) AND ($4::uuid IS NULL OR id < $4)
           ORDER BY id DESC LIMIT $5`,
    values: [filter.workspace, filter.dataset ?? null, filter.statuses ?? null, filter.before ?? null, filter.limit],
  });
  return result.rows;
}
