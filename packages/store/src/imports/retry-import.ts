// Lets a failed import go on with the first chunk that is not done. What is committed is not read again.
import { lastMemberId, type Dispatch } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import { DISPATCH_GRACE_MS } from '../flows/create-flows.ts';
import { CHUNK_ATTEMPTS, CHUNK_PRIORITY } from './accept-content.ts';
import { appendImportEvents, lockImport, type ImportActionOutcome } from './import-change.ts';
import { IMPORT_COLUMNS, type StoredImport } from './stored-import.ts';

/** Failures of the file itself come back however often it is tried. */
const FINAL_ERRORS: ReadonlySet<string> = new Set([
  'header-mismatch',
  'unterminated-quote',
  'record-too-large',
  'unsupported-encoding',
  'unsupported-file',
  'corrupt-archive',
  'decompression-limit',
  'source-changed',
  'too-many-rejects',
]);

/** Whether trying again cannot help an import that failed with this code. */
export function isFinalImportError(code: string): boolean {
  return FINAL_ERRORS.has(code);
}

export async function retryImport(
  database: Pick<Database, 'transaction'>,
  target: { importId: string; workspace: string },
): Promise<ImportActionOutcome & { dispatches?: Dispatch[] }> {
  return database.transaction(async (client) => {
    const found = await lockImport(client, target.importId, target.workspace);
    if (found === undefined) return { kind: 'not-found' };
    const reason = await refusal(client, found);
    if (reason !== null) return { kind: 'refused', status: found.status, ...(reason === '' ? {} : { reason }) };
    const dispatches = await queueFirstOpen(client, found.id);
    await client.query("UPDATE millrace.imports SET status = 'queued', error = NULL, finished_at = NULL WHERE id = $1", [found.id]);
    const events = await appendImportEvents(client, found.id, [
      { type: 'import.queued', data: { retry: true, bytesDone: found.bytes_done, bytesTotal: found.bytes_total } },
    ]);
    const queued = await client.query<StoredImport>(`SELECT ${IMPORT_COLUMNS} FROM millrace.imports WHERE id = $1`, [found.id]);
    return { kind: 'done', import: queued.rows[0] ?? found, events, dispatches };
  });
}

// Null: it may. An empty text: the status says enough.
async function refusal(on: Queryable, found: StoredImport): Promise<string | null> {
  if (found.status !== 'failed') return '';
  if (found.error !== null && FINAL_ERRORS.has(found.error.code))
    return `It failed with ${found.error.code}, which trying again cannot help.`;
  if (found.content_ref === null || found.chunks_total === null) return 'Its content is not there any more.';
  const dataset = await on.query('SELECT FROM millrace.datasets WHERE id = $1 FOR SHARE', [found.dataset_id]);
  return dataset.rowCount === 1 ? null : 'Its dataset is not there any more.';
}

async function queueFirstOpen(on: Queryable, importId: string): Promise<Dispatch[]> {
  const result = await on.query<Dispatch>({
    name: 'queue-first-open-chunk',
    text: `
UPDATE millrace.import_chunks c
SET status = 'queued', generation = c.generation + 1, dispatched = true, attempts = 0, crashes = 0, interruptions = 0, due_at = now() + interval '${DISPATCH_GRACE_MS} milliseconds'
WHERE c.id = (SELECT id FROM millrace.import_chunks WHERE id > $1 AND id <= $2 AND status = 'pending' ORDER BY id LIMIT 1)
RETURNING c.id, c.generation, c.workspace, ${CHUNK_PRIORITY} AS priority, ${CHUNK_ATTEMPTS} AS attempts, 0 AS "delayMs"`,
    values: [importId, lastMemberId(importId)],
  });
  return result.rows;
}
