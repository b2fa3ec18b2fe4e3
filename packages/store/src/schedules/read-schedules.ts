// Reads schedules and their fires, newest first.
import type { FireOutcome } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import { SCHEDULE_COLUMNS, type ReadSchedule, type StoredFire } from './stored-schedule.ts';

export type ScheduleTarget = { scheduleId: string; workspace: string };
export type ScheduleFilter = { workspace: string; flow: string | null; before: string | null; limit: number };
export type FireFilter = ScheduleTarget & { outcomes: readonly FireOutcome[] | null; before: string | null; limit: number };

const FROM = `SELECT ${SCHEDULE_COLUMNS}, l.status AS last_status FROM millrace.schedules s LEFT JOIN millrace.flows l ON l.id = s.last_flow_id`;

/** Undefined when there is none with this id in this workspace. */
export async function readSchedule(on: Queryable, { scheduleId, workspace }: ScheduleTarget): Promise<ReadSchedule | undefined> {
  const result = await on.query<ReadSchedule>({
    name: 'read-schedule',
    text: `${FROM} WHERE s.id = $1 AND s.workspace = $2`,
    values: [scheduleId, workspace],
  });
  return result.rows[0];
}

/** `flow`: null for those of every flow. `before`: exclusive, an id. */
export async function listSchedules(on: Queryable, filter: ScheduleFilter): Promise<ReadSchedule[]> {
  const result = await on.query<ReadSchedule>({
    name: 'list-schedules',
    text: `${FROM} WHERE s.workspace = $1 AND ($2::text IS NULL OR s.flow = $2) AND ($3::uuid IS NULL OR s.id < $3) ORDER BY s.id DESC LIMIT $4`,
    values: [filter.workspace, filter.flow, filter.before, filter.limit],
  });
  return result.rows;
}

/** In the order they were recorded. `outcomes`: null for all. `before`: exclusive, an id. */
export async function listFires(on: Queryable, filter: FireFilter): Promise<StoredFire[]> {
  const result = await on.query<StoredFire>({
    name: 'list-schedule-fires',
    text: `
SELECT id, trigger, due_at, fired_at, outcome, count, flow_id, reason FROM millrace.schedule_fires
WHERE schedule_id = $1 AND workspace = $2 AND ($3::text[] IS NULL OR outcome = ANY($3)) AND ($4::uuid IS NULL OR id < $4) ORDER BY id DESC LIMIT $5`,
    values: [filter.scheduleId, filter.workspace, filter.outcomes, filter.before, filter.limit],
  });
  return result.rows;
}
