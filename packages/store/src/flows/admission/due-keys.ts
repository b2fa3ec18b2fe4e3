// The doorbells of admission: which keys have something to be let in, taken so that one transaction at a time decides about a key.
import type { Queryable } from '../../database.ts';

export type AdmissionKey = { workspace: string; key: string };

/** Any constant that no other advisory lock of the database uses; it keeps ours apart from theirs. */
const LOCK_SEED = 7_266_310_003;
/** Doorbells that are looked at to find the keys of one pass; a key may have many. */
const DOORBELLS_MAX = 1_000;

// Rates are known by the name before the colon; those of other processes' definitions are left to them.
const KNOWN = "(kind = 'limit' OR split_part(key, ':', 1) = ANY($1::text[]))";

/** Milliseconds until the next doorbell is due, below zero when it is; null when there is none. `rates`: names of limits that this process knows. */
export async function nextDoorbell(on: Queryable, rates: readonly string[]): Promise<number | null> {
  const result = await on.query<{ waitMs: number }>({
    name: 'next-doorbell',
    text: `SELECT (extract(epoch FROM next_at - clock_timestamp()) * 1000)::float8 AS "waitMs" FROM millrace.admissions WHERE ${KNOWN} AND next_at < 'infinity' ORDER BY next_at LIMIT 1`,
    values: [rates],
  });
  return result.rows[0]?.waitMs ?? null;
}

/**
 * Takes up to `limit` due keys of one kind for this transaction, and their doorbells away. A key that another transaction decides about is
 * left, its doorbells too. What the doorbells told is seen by every later statement of the transaction.
 */
export async function takeDueKeys(
  client: Queryable,
  kind: 'limit' | 'rate',
  { rates, limit }: { rates: readonly string[]; limit: number },
): Promise<AdmissionKey[]> {
  const taken = await client.query<AdmissionKey>({
    name: 'take-due-keys',
    text: `
WITH due AS MATERIALIZED (
  SELECT workspace, key, next_at FROM millrace.admissions WHERE next_at <= now() AND kind = $2 AND ${KNOWN} ORDER BY next_at LIMIT ${DOORBELLS_MAX}
), keys AS MATERIALIZED (
  SELECT workspace, key FROM due GROUP BY workspace, key ORDER BY min(next_at) LIMIT $3
)
SELECT workspace, key FROM keys WHERE pg_try_advisory_xact_lock(hashtextextended($2 || E'\\n' || workspace || E'\\n' || key, ${LOCK_SEED}))`,
    values: [rates, kind, limit],
  });
  if (taken.rows.length === 0) return [];
  await client.query({
    name: 'take-doorbells',
    text: `DELETE FROM millrace.admissions WHERE kind = $3 AND (workspace, key) IN (SELECT * FROM unnest($1::text[], $2::text[]))`,
    values: [...columnsOf(taken.rows), kind],
  });
  return taken.rows;
}

/**
 * When the flow queue of a workspace may be looked at again, in milliseconds since 1970: at the end of its pause, Infinity when that has no end,
 * and undefined when it is not paused. No pause changes until the transaction ends, so who changes one and rings then is never overlooked.
 */
export async function lockPauses(client: Queryable): Promise<(workspace: string) => number | undefined> {
  const result = await client.query<{ workspace: string; untilMs: number }>({
    name: 'lock-pauses',
    text: `SELECT workspace, coalesce(extract(epoch FROM until) * 1000, 'Infinity')::float8 AS "untilMs" FROM millrace.queue_pauses
           WHERE queue = 'flow-phase' AND (until IS NULL OR until > now()) ORDER BY workspace FOR SHARE`,
  });
  const ends = new Map(result.rows.map((row) => [row.workspace, row.untilMs]));
  const ofAll = ends.get('') ?? -Infinity;
  return (workspace) => {
    const end = Math.max(ofAll, ends.get(workspace) ?? -Infinity);
    return end === -Infinity ? undefined : end;
  };
}

/** Rings now for every rate limit of a workspace, or of all when its name is empty. The caller has changed its pause in the same transaction. */
export async function ringForRates(client: Queryable, workspace: string): Promise<void> {
  await client.query({
    name: 'ring-for-rates',
    text: `
UPDATE millrace.admissions SET next_at = clock_timestamp() WHERE id = ANY(ARRAY(
  SELECT id FROM millrace.admissions WHERE kind = 'rate' AND ($1 = '' OR workspace = $1) AND next_at > now() FOR UPDATE SKIP LOCKED))`,
    values: [workspace],
  });
}

/** Rings for keys at a time; without one, now. Infinity: when somebody rings for it. */
export async function ring(
  client: Queryable,
  kind: 'limit' | 'rate',
  rung: readonly (AdmissionKey & { atMs: number | null })[],
): Promise<void> {
  if (rung.length === 0) return;
  await client.query({
    name: 'ring-doorbells',
    text: `INSERT INTO millrace.admissions (workspace, kind, key, next_at)
           SELECT workspace, $4, key, coalesce(to_timestamp(at_ms / 1000), clock_timestamp()) FROM unnest($1::text[], $2::text[], $3::float8[]) AS a (workspace, key, at_ms)`,
    values: [...columnsOf(rung), rung.map((one) => one.atMs), kind],
  });
}

export function columnsOf(keys: readonly AdmissionKey[]): [string[], string[]] {
  return [keys.map(({ workspace }) => workspace), keys.map(({ key }) => key)];
}
