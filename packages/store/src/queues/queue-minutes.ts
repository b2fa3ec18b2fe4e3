// How many attempts ended per minute: added up by the workers, read as a rate. A worker that dies takes its last seconds with it.
import type { QueueName } from '@millrace/shared';
import type { Queryable } from '../database.ts';

/** Attempts at jobs of a workspace that ended within one minute, since the last report. */
export type QueueMinute = { queue: QueueName; workspace: string; minute: Date; completed: number; failed: number };

/** Rates are taken over this minute and the ones before it. */
export const RATE_MINUTES = 5;
const KEPT = '1 hour';

export async function addQueueMinutes(on: Queryable, minutes: readonly QueueMinute[]): Promise<void> {
  if (minutes.length === 0) return;
  await on.query({
    name: 'add-queue-minutes',
    text: `INSERT INTO millrace.queue_minutes (queue, workspace, minute, completed, failed)
           SELECT queue, workspace, date_trunc('minute', minute), sum(completed), sum(failed)
           FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::int[], $5::int[]) AS a (queue, workspace, minute, completed, failed)
           GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
           ON CONFLICT (queue, workspace, minute) DO UPDATE
             SET completed = queue_minutes.completed + excluded.completed, failed = queue_minutes.failed + excluded.failed`,
    values: [
      minutes.map((one) => one.queue),
      minutes.map((one) => one.workspace),
      minutes.map((one) => one.minute),
      minutes.map((one) => one.completed),
      minutes.map((one) => one.failed),
    ],
  });
}

/** Ended attempts per minute. */
export async function readQueueRate(
  on: Queryable,
  target: { queue: QueueName; workspace: string },
): Promise<{ completed: number; failed: number }> {
  const result = await on.query<{ completed: number; failed: number }>({
    name: 'read-queue-rate',
    text: `SELECT coalesce(sum(completed), 0) / (${RATE_MINUTES - 1} + extract(second FROM now()) / 60)::float8 AS completed,
                  coalesce(sum(failed), 0) / (${RATE_MINUTES - 1} + extract(second FROM now()) / 60)::float8 AS failed
           FROM millrace.queue_minutes WHERE queue = $1 AND workspace = $2 AND minute > date_trunc('minute', now()) - interval '${RATE_MINUTES} minutes'`,
    values: [target.queue, target.workspace],
  });
  return result.rows[0] ?? { completed: 0, failed: 0 };
}

export async function deleteOldMinutes(on: Queryable): Promise<number> {
  const result = await on.query(`DELETE FROM millrace.queue_minutes WHERE minute < now() - interval '${KEPT}'`);
  return result.rowCount ?? 0;
}
