// Rows of schedules and of their fires as the statements of this folder read them.
import { nextRuns, type CatchUpPolicy, type FireOutcome, type FireTrigger, type FlowStatus, type OverlapPolicy } from '@millrace/shared';

export type SchedulePause = { by: string; reason: string | null; at: string; until: string | null };

export type StoredSchedule = {
  id: string;
  workspace: string;
  name: string;
  flow: string;
  input: unknown;
  tags: Record<string, string>;
  cron: string;
  timezone: string;
  overlap: OverlapPolicy;
  catch_up: CatchUpPolicy;
  /** The earliest time that nobody has dealt with. */
  next_at: Date | null;
  /** Null when it is not paused, or not any more. */
  pause: SchedulePause | null;
  missed_count: number;
  last_flow_id: string | null;
  last_due_at: Date | null;
  last_fired_at: Date | null;
  created_by: string;
  created_at: Date;
};

/** With the status its last flow has now; null when there is none or it is gone. */
export type ReadSchedule = StoredSchedule & { last_status: FlowStatus | null };

export type StoredFire = {
  id: string;
  trigger: FireTrigger;
  due_at: Date;
  fired_at: Date | null;
  outcome: FireOutcome;
  count: number;
  flow_id: string | null;
  reason: string | null;
};

/** Columns of a StoredSchedule; the table goes by the name `s`. */
export const SCHEDULE_COLUMNS = `s.id, s.workspace, s.name, s.flow, s.input, s.tags, s.cron, s.timezone, s.overlap, s.catch_up, s.next_at,
  CASE WHEN s.pause->>'until' IS NULL OR (s.pause->>'until')::timestamptz > now() THEN s.pause END AS pause,
  s.missed_count, s.last_flow_id, s.last_due_at, s.last_fired_at, s.created_by, s.created_at`;

/** SQL that is true for an open flow `f`; the same words as those of the index flows_open_of_schedule. */
export const IS_OPEN_FLOW = "f.schedule_id IS NOT NULL AND f.status NOT IN ('completed', 'failed', 'cancelled')";

/** The first time of a schedule after an instant; null when there is none. */
export function runAfter(schedule: Pick<StoredSchedule, 'cron' | 'timezone'>, after: Date): Date | null {
  return nextRuns(schedule, after, 1)[0] ?? null;
}
