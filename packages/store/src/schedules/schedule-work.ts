// What there is to do for schedules now, when the next time comes, and what of their history is too old to keep.
import type { Queryable } from '../database.ts';

export type ScheduleWork = {
  /** Whether a time has come. */
  due: boolean;
  /** Whether a fire waits for a flow to end. */
  queued: boolean;
  /** Until the next time comes; null when none will. */
  nextInMs: number | null;
};

/** One look-up of two indexes. */
export async function readScheduleWork(on: Queryable): Promise<ScheduleWork> {
  const result = await on.query<{ due: boolean; queued: boolean; next_in_ms: string | null }>({
    name: 'read-schedule-work',
    text: `
SELECT EXISTS (SELECT FROM millrace.schedules WHERE next_at <= now()) AS due,
  EXISTS (SELECT FROM millrace.schedule_fires WHERE outcome = 'queued') AS queued,
  (SELECT extract(epoch FROM min(next_at) - now()) * 1000 FROM millrace.schedules WHERE next_at > now()) AS next_in_ms`,
  });
  const row = result.rows[0];
  if (row === undefined) throw new Error('the work was not returned');
  return { due: row.due, queued: row.queued, nextInMs: row.next_in_ms === null ? null : Number(row.next_in_ms) };
}

/** Forgets fires that are older than this many days, the oldest first. Answers how many. */
export async function forgetFires(on: Queryable, { days, limit }: { days: number; limit: number }): Promise<number> {
  const result = await on.query({
    name: 'forget-schedule-fires',
    text: `
DELETE FROM millrace.schedule_fires WHERE outcome <> 'queued' AND id IN (
  SELECT id FROM millrace.schedule_fires WHERE recorded_at < now() - $1::int * interval '1 day' AND outcome <> 'queued' ORDER BY recorded_at LIMIT $2
)`,
    values: [days, limit],
  });
  return result.rowCount ?? 0;
}
