// Takes an import's content: plan, chunks and first events in one transaction. After its commit the import is the worker's.
import { memberId, type Dispatch } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import type { LoggedEvent } from '../events/logged-event.ts';
import { tableName } from '../datasets/dataset-table.ts';
import { DATASET_COLUMNS, type StoredDataset } from '../datasets/read-dataset.ts';
import { lockDataset } from '../datasets/dataset-lock.ts';
import { DISPATCH_GRACE_MS } from '../flows/create-flows.ts';
import { appendImportEvents, lockImport, markFailed } from './import-change.ts';
import type { ImportError, ImportPlan, StoredImport } from './stored-import.ts';

export type NewChunk = { byteOffset: number; byteLength: number; firstLine: number; checksums: Buffer };

/** What is known of the bytes as they were sent. */
export type ReceivedContent = { importId: string; uploadId: string; sizeBytes: number; sha256: string };

export type IndexedContent = {
  contentRef: string;
  format: 'csv' | 'ndjson';
  header: readonly string[];
  plan: ImportPlan;
  bytesTotal: number;
  chunks: readonly NewChunk[];
};

export type AcceptOutcome =
  | { kind: 'accepted'; events: LoggedEvent[]; dispatches: Dispatch[] }
  /** The import does not await content from this upload any more. */
  | { kind: 'lost' }
  | { kind: 'dataset-gone' };

/** Chunks come and go one by one, so that rows are loaded in the order of the file. */
export const CHUNK_PRIORITY = 50;
export const CHUNK_ATTEMPTS = 4;

/** The dataset an import fills, as long as it is the one the import was made for. */
export async function readImportDataset(
  on: Queryable,
  target: Pick<StoredImport, 'workspace' | 'dataset' | 'dataset_id'>,
): Promise<StoredDataset | undefined> {
  const result = await on.query<StoredDataset>(
    `SELECT ${DATASET_COLUMNS} FROM millrace.datasets WHERE workspace = $1 AND name = $2 AND id = $3`,
    [target.workspace, target.dataset, target.dataset_id],
  );
  return result.rows[0];
}

/** Accepts content that can be read. An import without a single row is completed at once. */
export async function acceptContent(
  database: Pick<Database, 'transaction'>,
  received: ReceivedContent,
  content: IndexedContent,
): Promise<AcceptOutcome> {
  return database.transaction(async (client) => {
    const target = await client.query<Pick<StoredImport, 'workspace' | 'dataset' | 'dataset_id'>>(
      'SELECT workspace, dataset, dataset_id FROM millrace.imports WHERE id = $1',
      [received.importId],
    );
    const [wanted] = target.rows;
    const held = wanted !== undefined && (await holdDataset(client, wanted, content.plan.keepsExtra));
    if (!held) return { kind: 'dataset-gone' };
    if (!(await markReceived(client, received))) return { kind: 'lost' };
    await client.query({
      name: 'keep-content',
      text: `UPDATE millrace.imports SET content_ref = $2, format = $3, header = $4, plan = $5, bytes_total = $6, chunks_total = $7 WHERE id = $1`,
      values: [
        received.importId,
        content.contentRef,
        content.format,
        JSON.stringify(content.header),
        JSON.stringify(content.plan),
        content.bytesTotal,
        content.chunks.length,
      ],
    });
    await insertChunks(client, received.importId, content.chunks);
    const queued = {
      type: 'import.queued' as const,
      data: { sizeBytes: received.sizeBytes, bytesTotal: content.bytesTotal, chunksTotal: content.chunks.length },
    };
    if (content.chunks.length > 0) {
      const dispatches = [
        {
          id: memberId(received.importId, 0),
          generation: 1,
          workspace: wanted.workspace,
          priority: CHUNK_PRIORITY,
          attempts: CHUNK_ATTEMPTS,
          delayMs: 0,
        },
      ];
      return { kind: 'accepted', events: await appendImportEvents(client, received.importId, [queued]), dispatches };
    }
    await client.query(
      "UPDATE millrace.imports SET status = 'completed', bytes_done = bytes_total, content_ref = NULL, started_at = clock_timestamp(), finished_at = clock_timestamp() WHERE id = $1",
      [received.importId],
    );
    const done = [
      queued,
      { type: 'import.started' as const },
      {
        type: 'import.completed' as const,
        data: { rowsInserted: 0, rowsUpdated: 0, rowsUnchanged: 0, rowsSuperseded: 0, rowsRejected: 0 },
      },
    ];
    return { kind: 'accepted', events: await appendImportEvents(client, received.importId, done), dispatches: [] };
  });
}

/** Takes content that cannot be read as a whole: the import has failed. No file is kept. */
export async function refuseContent(
  database: Pick<Database, 'transaction'>,
  received: ReceivedContent,
  error: ImportError,
): Promise<AcceptOutcome> {
  return database.transaction(async (client) => {
    if (!(await markReceived(client, received))) return { kind: 'lost' };
    const queued = await appendImportEvents(client, received.importId, [
      { type: 'import.queued', data: { sizeBytes: received.sizeBytes } },
    ]);
    return { kind: 'accepted', events: [...queued, ...(await markFailed(client, received.importId, error))], dispatches: [] };
  });
}

// A share lock on the definition keeps it from being dropped behind our back; adding `extra` needs the exclusive one from the start.
async function holdDataset(
  on: Queryable,
  target: Pick<StoredImport, 'workspace' | 'dataset' | 'dataset_id'>,
  keepsExtra: boolean,
): Promise<boolean> {
  if (!keepsExtra) return (await on.query('SELECT FROM millrace.datasets WHERE id = $1 FOR SHARE', [target.dataset_id])).rowCount === 1;
  const dataset = await lockDataset(on, { workspace: target.workspace, name: target.dataset });
  if (dataset?.id !== target.dataset_id) return false;
  if (dataset.has_extra) return true;
  await on.query(`ALTER TABLE ${tableName(dataset)} ADD COLUMN "extra" jsonb`);
  await on.query('UPDATE millrace.datasets SET has_extra = true WHERE id = $1', [dataset.id]);
  return true;
}

// The status changes only for the upload that holds the slot.
async function markReceived(on: Queryable, received: ReceivedContent): Promise<boolean> {
  const target = await lockImport(on, received.importId);
  if (target?.status !== 'awaiting_content') return false;
  const result = await on.query({
    name: 'receive-content',
    text: `UPDATE millrace.imports SET status = 'queued', size_bytes = $3, sha256 = $4, queued_at = clock_timestamp(), upload_id = NULL, upload_until = NULL
           WHERE id = $1 AND upload_id = $2`,
    values: [received.importId, received.uploadId, received.sizeBytes, received.sha256],
  });
  return result.rowCount === 1;
}

async function insertChunks(on: Queryable, importId: string, chunks: readonly NewChunk[]): Promise<void> {
  await on.query({
    name: 'insert-chunks',
    text: `
INSERT INTO millrace.import_chunks (id, import_id, workspace, ordinal, byte_offset, byte_length, first_line, checksums, status, generation, dispatched, due_at)
SELECT c.id, i.id, i.workspace, c.position - 1, c.byte_offset, c.byte_length, c.first_line, c.checksums, CASE WHEN c.position = 1 THEN 'queued' ELSE 'pending' END,
       CASE WHEN c.position = 1 THEN 1 ELSE 0 END, c.position = 1, CASE WHEN c.position = 1 THEN now() + interval '${DISPATCH_GRACE_MS} milliseconds' END
FROM millrace.imports i, unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[]) WITH ORDINALITY AS c (id, byte_offset, byte_length, first_line, checksums, position)
WHERE i.id = $1`,
    values: [
      importId,
      chunks.map((_, ordinal) => memberId(importId, ordinal)),
      chunks.map((chunk) => chunk.byteOffset),
      chunks.map((chunk) => chunk.byteLength),
      chunks.map((chunk) => chunk.firstLine),
      chunks.map((chunk) => chunk.checksums),
    ],
  });
}
