// A chunk goes back: interrupted without using an attempt, or failed with one used; or it takes its import with it.
import { groupIdOf } from '@millrace/shared';
import type { Database, Queryable } from '../../database.ts';
import type { LoggedEvent } from '../../events/logged-event.ts';
import { DISPATCH_GRACE_MS } from '../../flows/create-flows.ts';
import { lockImport, markFailed } from '../import-change.ts';
import { insertRejects, type NewReject } from '../loading/insert-rejects.ts';
import type { ImportError } from '../stored-import.ts';

export type HeldChunk = { id: string; fence: number; worker: string };

/**
 * Gives a chunk back to the queue under the same generation: the delivery that holds it comes again.
 * `interrupted` costs no attempt, `failed` one. False when the fence refused it.
 */
export async function releaseChunk(
  on: Queryable,
  held: HeldChunk,
  release: { outcome: 'interrupted' | 'failed'; delayMs: number },
): Promise<boolean> {
  const result = await on.query({
    name: 'release-chunk',
    text: `
UPDATE millrace.import_chunks
SET status = 'queued', lease_owner = NULL, due_at = now() + ($5::int + ${DISPATCH_GRACE_MS}) * interval '1 millisecond',
    attempts = attempts + CASE WHEN $4 = 'failed' THEN 1 ELSE 0 END, interruptions = interruptions + CASE WHEN $4 = 'failed' THEN 0 ELSE 1 END
WHERE id = $1 AND fence = $2 AND lease_owner = $3 AND status = 'running'`,
    values: [held.id, held.fence, held.worker, release.outcome, Math.round(release.delayMs)],
  });
  return result.rowCount === 1;
}

export type ImportFailure = {
  error: ImportError;
  /** What the chunk's rows would have added to the rejects, when those are why it failed. The rows themselves are not loaded. */
  rejects: readonly NewReject[];
  rejectCount: number;
};

/** The import fails because of this chunk. Answers no events when the fence refused it. */
export async function failImport(database: Pick<Database, 'transaction'>, held: HeldChunk, failure: ImportFailure): Promise<LoggedEvent[]> {
  return database.transaction(async (client) => {
    const importId = groupIdOf(held.id);
    const target = await lockImport(client, importId);
    const holds = await client.query({
      name: 'holds-chunk',
      text: "SELECT FROM millrace.import_chunks WHERE id = $1 AND fence = $2 AND lease_owner = $3 AND status = 'running' FOR UPDATE",
      values: [held.id, held.fence, held.worker],
    });
    if (target?.status !== 'running' || holds.rowCount !== 1) return [];
    if (failure.rejectCount > 0) {
      await insertRejects(client, { importId, workspace: target.workspace }, failure.rejects);
      await client.query('UPDATE millrace.imports SET rows_rejected = rows_rejected + $2, rejects_kept = rejects_kept + $3 WHERE id = $1', [
        importId,
        failure.rejectCount,
        failure.rejects.length,
      ]);
    }
    return markFailed(client, importId, failure.error);
  });
}
