// Writes down what became of times of schedules, and where each schedule stands after it. The caller holds the schedules' row locks.
import { newId, type FireOutcome } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import type { StoredSchedule } from './stored-schedule.ts';

export type NewFire = {
  schedule: Pick<StoredSchedule, 'id' | 'workspace' | 'name' | 'flow'>;
  dueAt: Date;
  outcome: FireOutcome;
  count: number;
  flowId: string | null;
  reason: string | null;
};

/** A fire as those who log and count it see it. */
export type ReportedFire = {
  scheduleId: string;
  schedule: string;
  workspace: string;
  dueAt: string;
  outcome: FireOutcome;
  count: number;
  flowId: string | null;
  reason: string | null;
};

/** Where a schedule stands after its fires. */
export type Progress = { id: string; nextAt: Date | null; missed: number };

export function reportOf({ schedule, dueAt, outcome, count, flowId, reason }: NewFire): ReportedFire {
  const { id: scheduleId, name, workspace } = schedule;
  return { scheduleId, schedule: name, workspace, dueAt: dueAt.toISOString(), outcome, count, flowId, reason };
}

/** Inserts fires in order of time, by the clock of the transaction. A sum of missed times right after another one is added to it. */
export async function insertFires(on: Queryable, fires: readonly NewFire[]): Promise<void> {
  const separate: NewFire[] = [];
  for (const fire of fires) if (fire.count === 1 || !(await addToSum(on, fire))) separate.push(fire);
  if (separate.length === 0) return;
  await on.query({
    name: 'insert-schedule-fires',
    text: `
INSERT INTO millrace.schedule_fires (id, schedule_id, workspace, trigger, due_at, fired_at, outcome, count, flow_id, reason)
SELECT f.id, f.schedule_id, f.workspace, 'time', f.due_at, CASE WHEN f.outcome = 'started' THEN now() END, f.outcome, f.count, f.flow_id, f.reason
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::int[], $7::uuid[], $8::text[])
  AS f (id, schedule_id, workspace, due_at, outcome, count, flow_id, reason)`,
    values: [
      separate.map(() => newId()),
      separate.map((fire) => fire.schedule.id),
      separate.map((fire) => fire.schedule.workspace),
      separate.map((fire) => fire.dueAt),
      separate.map((fire) => fire.outcome),
      separate.map((fire) => fire.count),
      separate.map((fire) => fire.flowId),
      separate.map((fire) => fire.reason),
    ],
  });
}

// A long outage is counted in several passes; it is still one entry.
async function addToSum(on: Queryable, { schedule, count }: NewFire): Promise<boolean> {
  const result = await on.query({
    name: 'add-to-missed-sum',
    text: `UPDATE millrace.schedule_fires SET count = count + $2 WHERE count > 1
             AND id = (SELECT id FROM millrace.schedule_fires WHERE schedule_id = $1 ORDER BY id DESC LIMIT 1)`,
    values: [schedule.id, count],
  });
  return result.rowCount === 1;
}

/** The last time of each schedule, by id, that was dealt with; none when there was none. */
export async function readHandled(on: Queryable, ids: readonly string[]): Promise<Map<string, Date>> {
  const result = await on.query<{ id: string; at: Date }>({
    name: 'read-handled-times',
    text: `
SELECT a.id, h.at FROM unnest($1::uuid[]) AS a (id)
CROSS JOIN LATERAL (SELECT max(due_at) AS at FROM millrace.schedule_fires WHERE schedule_id = a.id AND trigger = 'time') h WHERE h.at IS NOT NULL`,
    values: [ids],
  });
  return new Map(result.rows.map((row) => [row.id, row.at]));
}

/** Moves schedules on to their next times. */
export async function moveOn(on: Queryable, progress: readonly Progress[]): Promise<void> {
  await on.query({
    name: 'move-schedules-on',
    text: `
UPDATE millrace.schedules s SET next_at = p.next_at, missed_count = s.missed_count + p.missed
FROM unnest($1::uuid[], $2::timestamptz[], $3::int[]) AS p (id, next_at, missed) WHERE s.id = p.id`,
    values: [progress.map(({ id }) => id), progress.map(({ nextAt }) => nextAt), progress.map(({ missed }) => missed)],
  });
}

/** Remembers the flows that were started last, one per schedule. */
export async function rememberLast(on: Queryable, started: readonly NewFire[]): Promise<void> {
  const last = [...new Map(started.filter((fire) => fire.flowId !== null).map((fire) => [fire.schedule.id, fire])).values()];
  if (last.length === 0) return;
  await on.query({
    name: 'remember-last-runs',
    text: `
UPDATE millrace.schedules s SET last_flow_id = l.flow_id, last_due_at = l.due_at, last_fired_at = now()
FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS l (id, flow_id, due_at) WHERE s.id = l.id`,
    values: [last.map((fire) => fire.schedule.id), last.map((fire) => fire.flowId), last.map((fire) => fire.dueAt)],
  });
}
