// A worker takes a chunk: mints its fence, starts its lease and, with the first one, the import; answers what loading it needs.
import { groupIdOf, type JobRef } from '@millrace/shared';
import type pg from 'pg';
import { LOGGED_EVENT_JSON, type LoggedEvent } from '../../events/logged-event.ts';
import type { ImportOptions, ImportPlan, StoredImport } from '../stored-import.ts';

export type ClaimedChunk = {
  id: string;
  importId: string;
  workspace: string;
  dataset: string;
  datasetId: string;
  mode: StoredImport['mode'];
  format: 'csv' | 'ndjson';
  options: ImportOptions;
  plan: ImportPlan;
  contentRef: string;
  bytesTotal: number;
  chunksTotal: number;
  ordinal: number;
  byteOffset: number;
  byteLength: number;
  firstLine: number;
  /** CRC-32 of each block that the chunk touches, in hexadecimal digits. */
  checksums: string;
  fence: number;
  /** Failed attempts before this one. */
  attempts: number;
  interruptions: number;
  /** Rejects of the import so far, and how many of them are kept. */
  rowsRejected: number;
  rejectsKept: number;
  /** The chunk before held duplicate keys. */
  hasDuplicates: boolean;
};

export type ChunkClaim =
  | { kind: 'claimed'; chunk: ClaimedChunk; events: LoggedEvent[] }
  /** Done, cancelled, dispatched anew since, or gone: this delivery has nothing to do. */
  | { kind: 'stale' }
  /** Someone's lease is still alive, or the chunk may not start yet. */
  | { kind: 'not-yet'; untilMs: number };

const CLAIM = `
WITH locked AS (
  SELECT * FROM millrace.imports WHERE id = $3 AND status IN ('queued', 'running') FOR UPDATE
), claimed AS (
  UPDATE millrace.import_chunks c
  SET status = 'running', fence = c.fence + 1, lease_owner = $4, due_at = now() + $5::int * interval '1 millisecond', started_at = clock_timestamp()
  FROM locked i WHERE c.id = $1 AND c.generation = $2 AND c.status = 'queued' RETURNING c.*
), started AS (
  UPDATE millrace.imports i SET status = 'running', started_at = coalesce(i.started_at, clock_timestamp()), seq_last = i.seq_last + 1
  FROM locked l, claimed c WHERE i.id = l.id AND l.status = 'queued' RETURNING i.id, i.seq_last, i.workspace
), logged AS (
  INSERT INTO millrace.events (subject_id, seq, workspace, type, phase, at, data)
  SELECT id, seq_last, workspace, 'import.started', NULL, clock_timestamp(), jsonb_build_object('worker', $4::text) FROM started
  RETURNING subject_id, seq, workspace, type, phase, at, data
)
SELECT json_build_object(
  'id', c.id, 'importId', i.id, 'workspace', i.workspace, 'dataset', i.dataset, 'datasetId', i.dataset_id, 'mode', i.mode, 'format', i.format, 'options', i.options,
  'plan', i.plan, 'contentRef', i.content_ref, 'bytesTotal', i.bytes_total, 'chunksTotal', i.chunks_total, 'ordinal', c.ordinal, 'byteOffset', c.byte_offset,
  'byteLength', c.byte_length, 'firstLine', c.first_line, 'checksums', encode(c.checksums, 'hex'), 'fence', c.fence, 'attempts', c.attempts,
  'interruptions', c.interruptions, 'rowsRejected', i.rows_rejected, 'rejectsKept', i.rejects_kept, 'hasDuplicates', i.has_duplicates) AS chunk,
  (SELECT coalesce(json_agg(${LOGGED_EVENT_JSON}), '[]') FROM logged) AS events
FROM claimed c JOIN locked i ON true`;

const EXPLAIN_REFUSED = `
SELECT greatest(0, ceil(extract(epoch FROM c.due_at - now()) * 1000))::int AS until_ms
FROM millrace.import_chunks c JOIN millrace.imports i ON i.id = c.import_id
WHERE c.id = $1 AND c.generation = $2 AND c.status = 'running' AND c.due_at IS NOT NULL AND i.status IN ('queued', 'running')`;

/** Claims a chunk for `worker` with a lease of `leaseMs`. The import's row is locked before the chunk's, as everywhere. */
export async function claimChunk(hot: pg.Pool, delivery: JobRef, lease: { worker: string; leaseMs: number }): Promise<ChunkClaim> {
  const result = await hot.query<{ chunk: ClaimedChunk; events: LoggedEvent[] }>({
    name: 'claim-chunk',
    text: CLAIM,
    values: [delivery.id, delivery.generation, groupIdOf(delivery.id), lease.worker, lease.leaseMs],
  });
  const row = result.rows[0];
  if (row !== undefined) return { kind: 'claimed', ...row };
  const refused = await hot.query<{ until_ms: number }>({
    name: 'explain-refused-chunk',
    text: EXPLAIN_REFUSED,
    values: [delivery.id, delivery.generation],
  });
  const held = refused.rows[0];
  return held === undefined ? { kind: 'stale' } : { kind: 'not-yet', untilMs: held.until_ms };
}
