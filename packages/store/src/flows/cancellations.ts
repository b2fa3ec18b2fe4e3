// Receipts of cancelled phases: who was to stop, who saw it, and how each ended. cancelFlow opens them, workers fill them in, and what
// nobody fills in any more is closed.
import { groupIdOf } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import type { HeldPhase } from './lease-phases.ts';

export type CancelledHow = 'stopped' | 'killed' | 'fenced';

/** What a worker tells about one phase. Ages are milliseconds before now, so that only one clock, the server's, makes all times. */
export type CancelReceipt = {
  flowId: string;
  run: number;
  phaseId: string;
  fence: number;
  seenAgeMs: number;
  ended: { ageMs: number; how: CancelledHow } | null;
};

/**
 * Fills in receipts. What was filled in before stays, so telling twice changes nothing; what is about no receipt is passed over.
 * A phase that ended without its worker ever having seen the cancel has seen it at its end.
 */
export async function fillReceipts(on: Queryable, receipts: readonly CancelReceipt[]): Promise<void> {
  await on.query({
    name: 'fill-receipts',
    text: `
UPDATE millrace.cancellations c
SET seen_at = coalesce(c.seen_at, greatest(c.requested_at, clock_timestamp() - t.seen_age_ms * interval '1 millisecond')),
    ended_at = coalesce(c.ended_at, CASE WHEN t.how IS NOT NULL THEN
      greatest(c.requested_at, clock_timestamp() - t.ended_age_ms * interval '1 millisecond') END),
    how = coalesce(c.how, t.how)
FROM (
  SELECT flow_id, run, phase_id, fence, max(seen_age_ms) AS seen_age_ms, max(ended_age_ms) AS ended_age_ms, max(how) AS how
  FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::bigint[], $5::float8[], $6::float8[], $7::text[])
    AS a (flow_id, run, phase_id, fence, seen_age_ms, ended_age_ms, how)
  GROUP BY flow_id, run, phase_id, fence
) t
WHERE c.flow_id = t.flow_id AND c.run = t.run AND c.phase_id = t.phase_id AND c.fence = t.fence`,
    values: [
      receipts.map((one) => one.flowId),
      receipts.map((one) => one.run),
      receipts.map((one) => one.phaseId),
      receipts.map((one) => one.fence),
      receipts.map((one) => one.seenAgeMs),
      receipts.map((one) => one.ended?.ageMs ?? null),
      receipts.map((one) => one.ended?.how ?? null),
    ],
  });
}

/** Of phases whose lease is gone, the ids of those whose flow was cancelled while they were held. */
export async function cancelledAmong(on: Queryable, lost: readonly HeldPhase[]): Promise<Set<string>> {
  if (lost.length === 0) return new Set();
  const result = await on.query<{ id: string }>({
    name: 'cancelled-among',
    text: `
SELECT c.phase_id AS id FROM millrace.cancellations c
JOIN unnest($2::uuid[], $3::bigint[]) AS l (id, fence) ON l.id = c.phase_id AND l.fence = c.fence
WHERE c.flow_id = ANY($1::uuid[])`,
    values: [lost.map(({ id }) => groupIdOf(id)), lost.map(({ id }) => id), lost.map(({ fence }) => fence)],
  });
  return new Set(result.rows.map((row) => row.id));
}

/**
 * Closes receipts that no worker has closed after `afterMs`, longer than any living one takes: their worker is gone, or held by a handler
 * that does not let go. Either way they were left behind, and the fence keeps them from committing. Answers how many there were.
 */
export async function closeUnanswered(on: Queryable, { afterMs, limit }: { afterMs: number; limit: number }): Promise<number> {
  // Index cancellations_open. Rows that their worker is just closing are skipped.
  const result = await on.query({
    name: 'close-unanswered',
    text: `
UPDATE millrace.cancellations c SET ended_at = clock_timestamp(), how = 'fenced'
FROM (
  SELECT flow_id, run, phase_id FROM millrace.cancellations
  WHERE ended_at IS NULL AND requested_at < now() - $1::float8 * interval '1 millisecond'
  ORDER BY requested_at LIMIT $2 FOR UPDATE SKIP LOCKED
) o
WHERE c.flow_id = o.flow_id AND c.run = o.run AND c.phase_id = o.phase_id`,
    values: [afterMs, limit],
  });
  return result.rowCount ?? 0;
}
