// The last statement of the transaction that loads a chunk: fence check, checkpoint, counters, events, and the next chunk's dispatch.
import { groupIdOf, memberId, type Dispatch } from '@millrace/shared';
import type { Queryable } from '../../database.ts';
import { LOGGED_EVENT_JSON, type LoggedEvent } from '../../events/logged-event.ts';
import { DISPATCH_GRACE_MS } from '../../flows/create-flows.ts';
import { CHUNK_ATTEMPTS, CHUNK_PRIORITY } from '../accept-content.ts';

export type ChunkCounts = { inserted: number; updated: number; unchanged: number; superseded: number; rejected: number };

export type ChunkCompletion = {
  id: string;
  fence: number;
  worker: string;
  ordinal: number;
  counts: ChunkCounts;
  /** Rejects this transaction has added to the list. */
  rejectsKept: number;
  hasDuplicates: boolean;
};

/** `committed` is false when the fence refused it: roll back. `ended`: it was the last chunk, and the import is completed. */
export type ChunkCompletionOutcome = { committed: boolean; ended: boolean; events: LoggedEvent[]; dispatches: Dispatch[] };

const COMPLETE = `
WITH locked AS (
  SELECT id, workspace, chunks_total, chunks_done, bytes_total FROM millrace.imports WHERE id = $4 AND status = 'running' FOR UPDATE
), done AS (
  UPDATE millrace.import_chunks c
  SET status = 'done', lease_owner = NULL, due_at = NULL, interruptions = 0, rows_inserted = $5::int, rows_updated = $6::int, rows_unchanged = $7::int, rows_superseded = $8::int,
      rows_rejected = $9::int, finished_at = clock_timestamp()
  FROM locked l WHERE c.id = $1 AND c.fence = $2 AND c.status = 'running' AND c.lease_owner = $3
  RETURNING c.id, c.ordinal, c.byte_offset + c.byte_length AS bytes_done, l.chunks_done + 1 AS chunks_done, l.chunks_done + 1 = l.chunks_total AS ended
), next AS (
  UPDATE millrace.import_chunks c SET status = 'queued', dispatched = true, generation = c.generation + 1, due_at = now() + interval '${DISPATCH_GRACE_MS} milliseconds'
  FROM done d WHERE c.id = $10 AND c.status = 'pending' RETURNING c.id, c.generation, c.workspace, ${CHUNK_ATTEMPTS} - c.attempts AS attempts
), counted AS (
  UPDATE millrace.imports i
  SET chunks_done = d.chunks_done, bytes_done = CASE WHEN d.ended THEN i.bytes_total ELSE d.bytes_done END, rows_inserted = i.rows_inserted + $5::int, rows_updated = i.rows_updated + $6::int,
      rows_unchanged = i.rows_unchanged + $7::int, rows_superseded = i.rows_superseded + $8::int, rows_rejected = i.rows_rejected + $9::int, rejects_kept = i.rejects_kept + $11::int,
      has_duplicates = $12::boolean, content_ref = CASE WHEN d.ended THEN NULL ELSE i.content_ref END, seq_last = i.seq_last + CASE WHEN d.ended THEN 2 ELSE 1 END, status = CASE WHEN d.ended THEN 'completed' ELSE i.status END,
      finished_at = CASE WHEN d.ended THEN clock_timestamp() ELSE i.finished_at END
  FROM done d WHERE i.id = $4
  RETURNING i.*, d.ended, d.ordinal, i.seq_last - CASE WHEN d.ended THEN 2 ELSE 1 END AS seq_before
), totals AS (
  SELECT *, jsonb_build_object('rowsInserted', rows_inserted, 'rowsUpdated', rows_updated, 'rowsUnchanged', rows_unchanged, 'rowsSuperseded', rows_superseded, 'rowsRejected', rows_rejected) AS rows
  FROM counted
), news AS (
  SELECT id, workspace, seq_before + 1 AS seq, 'import.chunk' AS type,
         jsonb_build_object('chunk', ordinal + 1, 'chunksTotal', chunks_total, 'chunksDone', chunks_done, 'bytesDone', bytes_done, 'bytesTotal', bytes_total) AS data, rows FROM totals
  UNION ALL SELECT id, workspace, seq_before + 2, 'import.completed', '{}', rows FROM totals WHERE ended
), logged AS (
  INSERT INTO millrace.events (subject_id, seq, workspace, type, phase, at, data)
  SELECT id, seq, workspace, type, NULL, clock_timestamp(), data || rows FROM news
  RETURNING subject_id, seq, workspace, type, phase, at, data
)
SELECT (SELECT ended FROM done) AS ended,
       (SELECT coalesce(json_agg(json_build_object('id', id, 'generation', generation, 'workspace', workspace, 'priority', ${CHUNK_PRIORITY}, 'attempts', greatest(1, attempts), 'delayMs', 0)), '[]') FROM next) AS dispatches,
       (SELECT coalesce(json_agg(${LOGGED_EVENT_JSON} ORDER BY seq), '[]') FROM logged) AS events`;

/** Runs on the client of the chunk's own transaction, after everything else in it. */
export async function completeChunk(on: Queryable, completion: ChunkCompletion): Promise<ChunkCompletionOutcome> {
  const importId = groupIdOf(completion.id);
  const { counts } = completion;
  const result = await on.query<{ ended: boolean | null; dispatches: Dispatch[]; events: LoggedEvent[] }>({
    name: 'complete-chunk',
    text: COMPLETE,
    values: [
      completion.id,
      completion.fence,
      completion.worker,
      importId,
      counts.inserted,
      counts.updated,
      counts.unchanged,
      counts.superseded,
      counts.rejected,
      memberId(importId, completion.ordinal + 1),
      completion.rejectsKept,
      completion.hasDuplicates,
    ],
  });
  const row = result.rows[0];
  return {
    committed: typeof row?.ended === 'boolean',
    ended: row?.ended === true,
    events: row?.events ?? [],
    dispatches: row?.dispatches ?? [],
  };
}
