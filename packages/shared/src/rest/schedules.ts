// Schedules as clients make, see, pause and lose them, and what became of each of their times.
import { z } from 'zod';
import { cronFault } from '../schedules/cron.ts';
import { CATCH_UP_POLICIES, FIRE_OUTCOMES, FIRE_TRIGGERS, OVERLAP_POLICIES, type FireOutcome } from '../schedules/policies.ts';
import { FLOW_STATUSES } from '../statuses.ts';
import { instantSchema, pageOf, pageQuery } from './common.ts';
import { newFlowSchema } from './flow-requests.ts';

const NAME_CHARS_MAX = 200;
const REASON_CHARS_MAX = 1_000;

/** Body of POST /v1/schedules. `input` is checked further by the flow's own schema, now and whenever it fires. */
export const newScheduleSchema = z
  .strictObject({
    name: z.string().min(1).max(NAME_CHARS_MAX).meta({ description: 'Unique in the workspace', example: 'nightly report' }),
    flow: newFlowSchema.shape.flow,
    input: newFlowSchema.shape.input,
    cron: z.string().meta({
      description:
        'Five fields: minute, hour, day of month, month, day of week (0 and 7 are Sunday). Lists, ranges, steps, names, and L, W and #. A day of month and a day of week together: either will do.',
      example: '30 2 * * MON-FRI',
    }),
    timezone: z.string().default('UTC').meta({
      description:
        'IANA name. Where the clock goes forward, fixed times in the gap (no `*` and no step in minute and hour) fire at its end and others are left out; where it goes back, fixed times fire once and others both times.',
      example: 'Europe/Berlin',
    }),
    overlap: z.enum(OVERLAP_POLICIES).default('skip').meta({
      description:
        'When a flow of this schedule has not ended: leave the time out; let one start wait and leave more out; cancel the open flows first; or start beside them',
    }),
    catchUp: z.enum(CATCH_UP_POLICIES).default('none').meta({
      description:
        'Times that nobody fired within 60 s: none of them is fired; of all that are due only the newest; or all in order, at most 100. `overlap` then decides about each.',
    }),
    tags: newFlowSchema.shape.tags,
  })
  .superRefine(({ cron, timezone }, context) => {
    const fault = cronFault({ cron, timezone });
    if (fault !== null) context.addIssue({ code: 'custom', path: [fault.field], message: fault.message });
  })
  .meta({ id: 'NewSchedule', title: 'NewSchedule' });
export type NewScheduleBody = z.infer<typeof newScheduleSchema>;

/** Body of POST /v1/schedules/{id}/pause. */
export const schedulePauseSchema = z
  .strictObject({
    reason: z.string().max(REASON_CHARS_MAX).optional(),
    until: z.iso
      .datetime({ offset: true, error: 'must be RFC 3339 with an offset, such as 2027-01-31T09:00:00Z' })
      .optional()
      .meta({ description: 'The pause ends by itself then. Default: at POST …/resume' }),
  })
  .meta({ id: 'SchedulePause', title: 'SchedulePause' });
export type SchedulePauseBody = z.infer<typeof schedulePauseSchema>;

const instantOrNull = instantSchema.nullable();

const headShape = {
  id: z.uuid(),
  name: z.string(),
  workspace: z.string(),
  flow: z.string(),
  cron: z.string(),
  timezone: z.string(),
  overlap: z.enum(OVERLAP_POLICIES),
  catchUp: z.enum(CATCH_UP_POLICIES),
  tags: z.record(z.string(), z.string()),
  status: z.enum(['active', 'paused']),
  nextRunAt: instantOrNull.meta({ description: 'Null while paused without an end. A time gone by has not been dealt with yet.' }),
  pause: z
    .object({ by: z.string(), reason: z.string().nullable(), at: instantSchema, until: instantOrNull })
    .nullable()
    .meta({ description: 'Who paused it and why; null unless it is paused' }),
  lastRun: z
    .object({
      flowId: z.uuid(),
      dueAt: instantSchema,
      firedAt: instantSchema,
      status: z.enum(FLOW_STATUSES).nullable().meta({ description: 'Of the flow now; null when it is not kept any more' }),
    })
    .nullable(),
  missedCount: z.int().meta({ description: 'Times that nobody fired, since the schedule was made' }),
  createdBy: z.string(),
  createdAt: instantSchema,
  links: z.object({ self: z.string(), fires: z.string(), run: z.string(), pause: z.string(), resume: z.string() }),
};

export const listedScheduleSchema = z.object(headShape).meta({ id: 'ListedSchedule', title: 'ListedSchedule' });
export type ListedScheduleAnswer = z.infer<typeof listedScheduleSchema>;

export const scheduleSchema = z
  .object({ ...headShape, input: z.unknown(), nextRuns: z.array(instantSchema).meta({ description: 'The next five times' }) })
  .meta({ id: 'Schedule', title: 'Schedule' });
export type ScheduleAnswer = z.infer<typeof scheduleSchema>;

export const schedulePageSchema = pageOf(listedScheduleSchema);

/** Query of GET /v1/schedules. */
export const scheduleListQuery = z.strictObject({
  flow: z.string().min(1).max(100).optional().meta({ description: 'Name of a definition' }),
  ...pageQuery,
});

export const scheduleFireSchema = z
  .object({
    id: z.uuid(),
    trigger: z.enum(FIRE_TRIGGERS),
    dueAt: instantSchema,
    firedAt: instantOrNull.meta({ description: 'When the flow was started' }),
    outcome: z.enum(FIRE_OUTCOMES),
    count: z.int().meta({ description: 'More than 1: this entry stands for so many missed times from `dueAt` on' }),
    flowId: z.uuid().nullable(),
    reason: z.string().nullable().meta({ description: 'Why no flow was started, or not yet' }),
  })
  .meta({ id: 'ScheduleFire', title: 'ScheduleFire' });
export type ScheduleFireAnswer = z.infer<typeof scheduleFireSchema>;

export const scheduleFirePageSchema = pageOf(scheduleFireSchema);

/** Query of GET /v1/schedules/{id}/fires. */
export const scheduleFireQuery = z.strictObject({
  outcome: z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(FIRE_OUTCOMES)).min(1))
    .transform((outcomes): FireOutcome[] => [...new Set(outcomes)].sort())
    .optional()
    .meta({ description: `Comma list of ${FIRE_OUTCOMES.join(', ')}` }),
  ...pageQuery,
});
