// Rows of a schedule and of its fires as clients read them. Only what is named here leaves the house.
import { nextRuns, type ListedScheduleAnswer, type ScheduleAnswer, type ScheduleFireAnswer } from '@millrace/shared';
import type { ReadSchedule, StoredFire } from '@millrace/store';

const NEXT_RUNS = 5;

export function listedScheduleAnswer(schedule: ReadSchedule): ListedScheduleAnswer {
  return {
    id: schedule.id,
    name: schedule.name,
    workspace: schedule.workspace,
    flow: schedule.flow,
    cron: schedule.cron,
    timezone: schedule.timezone,
    overlap: schedule.overlap,
    catchUp: schedule.catch_up,
    tags: schedule.tags,
    status: schedule.pause === null ? 'active' : 'paused',
    nextRunAt: instant(schedule.next_at),
    pause: schedule.pause,
    lastRun: lastRun(schedule),
    missedCount: schedule.missed_count,
    createdBy: schedule.created_by,
    createdAt: schedule.created_at.toISOString(),
    links: scheduleLinks(schedule.id),
  };
}

export function scheduleAnswer(schedule: ReadSchedule): ScheduleAnswer {
  return { ...listedScheduleAnswer(schedule), input: schedule.input, nextRuns: comingRuns(schedule) };
}

export function fireAnswer(fire: StoredFire): ScheduleFireAnswer {
  return {
    id: fire.id,
    trigger: fire.trigger,
    dueAt: fire.due_at.toISOString(),
    firedAt: instant(fire.fired_at),
    outcome: fire.outcome,
    count: fire.count,
    flowId: fire.flow_id,
    reason: fire.reason,
  };
}

export function scheduleLinks(id: string): ScheduleAnswer['links'] {
  const self = `/v1/schedules/${id}`;
  return { self, fires: `${self}/fires`, run: `${self}/run`, pause: `${self}/pause`, resume: `${self}/resume` };
}

/** From the one that is kept on, so that it is the first also where nobody has fired it yet. */
function comingRuns(schedule: ReadSchedule): string[] {
  const { next_at: next } = schedule;
  if (next === null) return [];
  return [next, ...nextRuns(schedule, next, NEXT_RUNS - 1)].map((at) => at.toISOString());
}

function lastRun(schedule: ReadSchedule): ScheduleAnswer['lastRun'] {
  const { last_flow_id: flowId, last_due_at: dueAt, last_fired_at: firedAt, last_status: status } = schedule;
  if (flowId === null || dueAt === null || firedAt === null) return null;
  return { flowId, dueAt: dueAt.toISOString(), firedAt: firedAt.toISOString(), status };
}

function instant(at: Date | null): string | null {
  return at === null ? null : at.toISOString();
}
