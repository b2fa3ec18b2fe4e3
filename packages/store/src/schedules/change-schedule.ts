// Pauses, resumes and deletes schedules. Flows they have started go on whatever happens here.
import type { Database, Queryable } from '../database.ts';
import { transactionTime } from './create-schedule.ts';
import { LATE_MS, listMissed } from './decide-fires.ts';
import { dueTimes } from './due-times.ts';
import type { ScheduleTarget } from './read-schedules.ts';
import { insertFires, moveOn, readHandled } from './record-fires.ts';
import { runAfter, SCHEDULE_COLUMNS, type StoredSchedule } from './stored-schedule.ts';

export type ScheduleActionOutcome = { kind: 'done' } | { kind: 'not-found' } | { kind: 'refused'; status: 'active' | 'paused' };

/** `until`: RFC 3339, ahead of now; null: until somebody resumes it. */
export type NewPause = { by: string; reason: string | null; until: string | null };

/** Times that a pause looks back on; what an outage left beyond them is not counted. */
const TIMES_MAX = 2_000;

/**
 * From now on, until the pause ends, nothing of it starts: times that come are not fired and not missed, and a fire that waited is skipped.
 * Times that had been missed before are recorded. A second pause takes the place of the first.
 */
export async function pauseSchedule(
  database: Pick<Database, 'transaction'>,
  target: ScheduleTarget,
  { by, reason, until }: NewPause,
): Promise<ScheduleActionOutcome> {
  return database.transaction(async (client) => {
    const schedule = await lock(client, target);
    if (schedule === undefined) return { kind: 'not-found' };
    const now = await transactionTime(client);
    const missed = await recordMissed(client, schedule, now);
    await client.query({
      name: 'skip-queued-fire',
      text: "UPDATE millrace.schedule_fires SET outcome = 'skipped', reason = 'the schedule was paused' WHERE schedule_id = $1 AND outcome = 'queued'",
      values: [schedule.id],
    });
    // The end itself is no part of the pause.
    const nextAt = until === null ? null : runAfter(schedule, new Date(Date.parse(until) - 1));
    await moveOn(client, [{ id: schedule.id, nextAt, missed }]);
    await client.query({
      name: 'pause-schedule',
      text: 'UPDATE millrace.schedules SET pause = $2 WHERE id = $1',
      values: [schedule.id, JSON.stringify({ by, reason, at: now.toISOString(), until })],
    });
    return { kind: 'done' };
  });
}

/** Goes on with the first time after now. */
export async function resumeSchedule(database: Pick<Database, 'transaction'>, target: ScheduleTarget): Promise<ScheduleActionOutcome> {
  return database.transaction(async (client) => {
    const schedule = await lock(client, target);
    if (schedule === undefined) return { kind: 'not-found' };
    if (schedule.pause === null) return { kind: 'refused', status: 'active' };
    const now = await transactionTime(client);
    await client.query({
      name: 'resume-schedule',
      text: 'UPDATE millrace.schedules SET pause = NULL, next_at = $2 WHERE id = $1',
      values: [schedule.id, runAfter(schedule, now)],
    });
    return { kind: 'done' };
  });
}

/** With all its fires. False when there is none with this id in this workspace. */
export async function deleteSchedule(on: Queryable, { scheduleId, workspace }: ScheduleTarget): Promise<boolean> {
  const result = await on.query('DELETE FROM millrace.schedules WHERE id = $1 AND workspace = $2', [scheduleId, workspace]);
  return result.rowCount === 1;
}

async function lock(client: Queryable, { scheduleId, workspace }: ScheduleTarget): Promise<StoredSchedule | undefined> {
  const result = await client.query<StoredSchedule>({
    name: 'lock-schedule',
    text: `SELECT ${SCHEDULE_COLUMNS} FROM millrace.schedules s WHERE s.id = $1 AND s.workspace = $2 FOR UPDATE`,
    values: [scheduleId, workspace],
  });
  return result.rows[0];
}

async function recordMissed(client: Queryable, schedule: StoredSchedule, now: Date): Promise<number> {
  const handledAt = (await readHandled(client, [schedule.id])).get(schedule.id) ?? null;
  const { dueMs } = dueTimes(schedule, now, { handledAt, max: TIMES_MAX });
  const late = dueMs.filter((at) => now.getTime() - at > LATE_MS);
  const missed = listMissed(late, 'nobody fired it before the schedule was paused');
  await insertFires(
    client,
    missed.map(({ dueAtMs, outcome, count, reason }) => ({ schedule, dueAt: new Date(dueAtMs), outcome, count, flowId: null, reason })),
  );
  return late.length;
}
