// Ends an import at once on request. What is committed stays; the chunk that runs is fenced by its status and finds out at its next check.
import { isTerminalImport, lastMemberId } from '@millrace/shared';
import type { Database } from '../database.ts';
import { appendImportEvents, lockImport, type ImportActionOutcome } from './import-change.ts';
import { IMPORT_COLUMNS, type StoredImport } from './stored-import.ts';

/** The answer's import still names the spooled file, for the caller to remove. */
export async function cancelImport(
  database: Pick<Database, 'transaction'>,
  target: { importId: string; workspace: string; by: string },
): Promise<ImportActionOutcome> {
  return database.transaction(async (client) => {
    const found = await lockImport(client, target.importId, target.workspace);
    if (found === undefined) return { kind: 'not-found' };
    if (isTerminalImport(found.status)) return { kind: 'refused', status: found.status };
    await client.query({
      name: 'cancel-chunks',
      text: `UPDATE millrace.import_chunks SET status = 'cancelled', lease_owner = NULL, due_at = NULL, finished_at = clock_timestamp()
             WHERE id > $1 AND id <= $2 AND status IN ('pending', 'queued', 'running')`,
      values: [found.id, lastMemberId(found.id)],
    });
    const events = await appendImportEvents(client, found.id, [{ type: 'import.cancelled', data: { by: target.by } }]);
    const cancelled = await client.query<StoredImport>(
      `UPDATE millrace.imports SET status = 'cancelled', content_ref = NULL, upload_id = NULL, upload_until = NULL, finished_at = clock_timestamp() WHERE id = $1 RETURNING ${IMPORT_COLUMNS}`,
      [found.id],
    );
    return { kind: 'done', import: { ...found, ...cancelled.rows[0], content_ref: found.content_ref }, events };
  });
}
