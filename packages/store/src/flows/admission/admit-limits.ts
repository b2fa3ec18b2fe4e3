// Lets flows in under their concurrency key: first in first out, never more at a time than the flow whose turn it is allows.
// Every flow that was admitted and has not ended has a place, also while it waits or is paused.
import { inTransaction, type Database, type Queryable } from '../../database.ts';
import { columnsOf, ring, takeDueKeys, type AdmissionKey } from './due-keys.ts';

/** Flows of one key that one pass lets in. */
const FLOWS_PER_KEY_MAX = 500;
const KEYS_MAX = 50;

/** Decides about due keys. Answers how many flows were let in and how many keys were looked at. */
export async function admitLimits(database: Pick<Database, 'main'>): Promise<{ keys: number; admitted: number }> {
  return inTransaction(database.main, async (client) => {
    const keys = await takeDueKeys(client, 'limit', { rates: [], limit: KEYS_MAX });
    if (keys.length === 0) return { keys: 0, admitted: 0 };
    const next = await nextInLine(client, keys);
    const admitted = next.length === 0 ? 0 : await admit(client, next);
    await ring(client, 'limit', [...unfinished(next, admitted), ...(await nextStarts(client, keys))]);
    return { keys: keys.length, admitted };
  });
}

type NextInLine = AdmissionKey & { id: string };

// This transaction alone admits under these keys, so the number that has places can only fall until it commits.
async function nextInLine(client: Queryable, keys: readonly AdmissionKey[]): Promise<NextInLine[]> {
  const result = await client.query<NextInLine>({
    name: 'next-in-line',
    text: `
SELECT k.workspace, k.key, w.id FROM unnest($1::text[], $2::text[]) AS k (workspace, key)
CROSS JOIN LATERAL (
  SELECT count(*) AS running FROM millrace.flows
  WHERE workspace = k.workspace AND concurrency_key = k.key AND admitted AND status NOT IN ('completed', 'failed', 'cancelled')
) r
CROSS JOIN LATERAL (
  SELECT id, bool_and(r.running + number <= concurrency_limit) OVER (ORDER BY id) AS fits
  FROM (
    SELECT id, concurrency_limit, row_number() OVER (ORDER BY id) AS number FROM millrace.flows
    WHERE workspace = k.workspace AND concurrency_key = k.key AND NOT admitted AND status NOT IN ('completed', 'failed', 'cancelled')
      AND planned AND (run_at IS NULL OR run_at <= now())
    ORDER BY id LIMIT $3
  ) first
) w
WHERE w.fits`,
    values: [...columnsOf(keys), FLOWS_PER_KEY_MAX],
  });
  return result.rows;
}

// A flow whose start time lies ahead joins the line then, whether or not any phase of it is queued.
async function nextStarts(client: Queryable, keys: readonly AdmissionKey[]): Promise<(AdmissionKey & { atMs: number })[]> {
  const result = await client.query<AdmissionKey & { atMs: number }>({
    name: 'next-starts',
    text: `
SELECT k.workspace, k.key, (extract(epoch FROM s.at) * 1000)::float8 AS "atMs" FROM unnest($1::text[], $2::text[]) AS k (workspace, key)
CROSS JOIN LATERAL (
  SELECT min(run_at) AS at FROM millrace.flows
  WHERE workspace = k.workspace AND concurrency_key = k.key AND NOT admitted AND status NOT IN ('completed', 'failed', 'cancelled') AND run_at > now()
) s
WHERE s.at IS NOT NULL`,
    values: columnsOf(keys),
  });
  return result.rows;
}

// A flow that has ended since it was found is not let in.
async function admit(client: Queryable, next: readonly NextInLine[]): Promise<number> {
  const ids = next.map(({ id }) => id);
  await client.query({
    name: 'lock-next-in-line',
    text: 'SELECT FROM millrace.flows WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE',
    values: [ids],
  });
  const result = await client.query<{ admitted: number }>({
    name: 'admit-flows',
    text: `
WITH let_in AS (
  UPDATE millrace.flows SET admitted = true
  WHERE id = ANY($1::uuid[]) AND NOT admitted AND status NOT IN ('completed', 'failed', 'cancelled') RETURNING id, status
), freed AS (
  UPDATE millrace.phases p
  SET held = CASE WHEN p.flow_id = ANY(ARRAY(SELECT id FROM let_in WHERE status = 'paused')) THEN 'pause' WHEN p.rate_key IS NOT NULL THEN 'rate' END
  WHERE p.held = 'limit' AND p.id = ANY(ARRAY(
    SELECT q.id FROM let_in l
    CROSS JOIN LATERAL (SELECT id FROM millrace.phases WHERE id > l.id AND id <= overlay(l.id::text PLACING 'ffff' FROM 33)::uuid OFFSET 0) q))
  RETURNING p.workspace, p.rate_key, p.held
), rung AS (
  INSERT INTO millrace.admissions (workspace, kind, key) SELECT DISTINCT workspace, 'rate', rate_key FROM freed WHERE held = 'rate'
)
SELECT count(*)::int AS admitted FROM let_in`,
    values: [ids],
  });
  return result.rows[0]?.admitted ?? 0;
}

// Rings again for keys of which there may be more: the most that one pass takes was taken, or some had ended meanwhile and their places are free.
function unfinished(next: readonly NextInLine[], admitted: number): (AdmissionKey & { atMs: null })[] {
  const byKey = Map.groupBy(next, ({ workspace, key }) => JSON.stringify([workspace, key]));
  return [...byKey.values()].flatMap((group) => {
    const [first] = group;
    const again = admitted < next.length || group.length >= FLOWS_PER_KEY_MAX;
    return first !== undefined && again ? [{ workspace: first.workspace, key: first.key, atMs: null }] : [];
  });
}
