// The frame of every change of an import: lock its row, change it, append events with the next numbers, all in one transaction.
import { lastMemberId } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import { entriesOf, eventsOfRun, LOG_RUN, RETURNING_RUN, type EventRun, type LoggedEvent } from '../events/logged-event.ts';
import { IMPORT_COLUMNS, type ImportError, type StoredImport } from './stored-import.ts';

export type NewImportEvent = { type: `import.${string}`; data?: Record<string, unknown> };

/** What became of a request to act on an import. `refused` carries the status that does not allow it, and why where the status does not say. */
export type ImportActionOutcome =
  | { kind: 'done'; import: StoredImport; events: LoggedEvent[] }
  | { kind: 'not-found' }
  | { kind: 'refused'; status: StoredImport['status']; reason?: string };

/** Locks an import's row until the transaction ends. Undefined when there is no such import, or none in this workspace. */
export async function lockImport(on: Queryable, importId: string, workspace?: string): Promise<StoredImport | undefined> {
  const result = await on.query<StoredImport>({
    name: 'lock-import',
    text: `SELECT ${IMPORT_COLUMNS} FROM millrace.imports WHERE id = $1 AND ($2::text IS NULL OR workspace = $2) FOR UPDATE`,
    values: [importId, workspace ?? null],
  });
  return result.rows[0];
}

/** Appends events to an import whose row this transaction has locked, and answers them as written. */
export async function appendImportEvents(on: Queryable, importId: string, events: readonly NewImportEvent[]): Promise<LoggedEvent[]> {
  if (events.length === 0) return [];
  const { rows } = await on.query<EventRun>({
    name: 'append-import-events',
    text: `
WITH numbered AS (
  UPDATE millrace.imports SET seq_last = seq_last + $3::int WHERE id = $1 RETURNING id, workspace, seq_last
)
${LOG_RUN} SELECT id, clock_timestamp(), seq_last, workspace, $2::json FROM numbered ${RETURNING_RUN}`,
    values: [importId, entriesOf(events), events.length],
  });
  return rows.flatMap(eventsOfRun);
}

/** Ends a locked import as failed. Its chunks that are not done go back to pending, so that a retry can begin with them. */
export async function markFailed(on: Queryable, importId: string, error: ImportError): Promise<LoggedEvent[]> {
  await on.query({
    name: 'fail-import',
    text: "UPDATE millrace.imports SET status = 'failed', error = $2, finished_at = clock_timestamp() WHERE id = $1",
    values: [importId, JSON.stringify(error)],
  });
  await on.query({
    name: 'park-chunks',
    text: `UPDATE millrace.import_chunks SET status = 'pending', lease_owner = NULL, due_at = NULL, dispatched = false
           WHERE import_id = $1 AND id > $1 AND id <= $2 AND status IN ('queued', 'running')`,
    values: [importId, lastMemberId(importId)],
  });
  return appendImportEvents(on, importId, [{ type: 'import.failed', data: { error } }]);
}
