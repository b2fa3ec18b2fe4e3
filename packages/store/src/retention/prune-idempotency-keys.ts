// Clears away the answers that idempotency keys were given, once they count no more.
import type { Queryable } from '../database.ts';

/** Deletes keys older than the 24 hours for which they count, the oldest first. Answers how many. */
export async function pruneIdempotencyKeys(on: Queryable, limit: number): Promise<number> {
  const result = await on.query({
    name: 'prune-idempotency-keys',
    text: `
WITH old AS (
  SELECT workspace, route, key FROM millrace.idempotency_keys WHERE created_at < now() - interval '24 hours' ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
DELETE FROM millrace.idempotency_keys k USING old WHERE (k.workspace, k.route, k.key) = (old.workspace, old.route, old.key)`,
    values: [limit],
  });
  return result.rowCount ?? 0;
}
