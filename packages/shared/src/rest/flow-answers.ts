// What clients get to read about flows. Allow-lists: nothing of a row appears unless it is named here.
import { z } from 'zod';
import { FLOW_STATUSES, PHASE_STATUSES } from '../statuses.ts';
import { instantSchema, pageOf, problemSchema } from './common.ts';
import { flowPauseSchema } from './pauses.ts';

const linksSchema = z.object({
  self: z.string(),
  events: z.string(),
  progress: z.string(),
  cancel: z.string(),
  retry: z.string(),
  runPhase: z.string().meta({ description: 'With the name of a phase in the place of {phase}' }),
});
const instantOrNull = instantSchema.nullable();

export const progressSchema = z
  .object({
    flowId: z.uuid(),
    phase: z.string(),
    fraction: z.number().min(0).max(1),
    message: z.string().optional(),
    detail: z.unknown().optional(),
    at: instantSchema,
  })
  .meta({ id: 'Progress', title: 'Progress' });

export const acceptedFlowSchema = z
  .object({
    id: z.uuid(),
    flow: z.string(),
    version: z.int(),
    status: z.enum(FLOW_STATUSES).meta({ description: '`queued`, but for a flow that was there before' }),
    links: linksSchema,
    deduplicated: z.literal(true).optional().meta({ description: 'Nothing was started: this flow has the dedupeKey already' }),
  })
  .meta({ id: 'AcceptedFlow', title: 'AcceptedFlow' });
export type AcceptedFlow = z.infer<typeof acceptedFlowSchema>;

export const batchAnswerSchema = z.object({
  items: z.array(
    z.union([
      z.object({ id: z.uuid(), status: z.enum(FLOW_STATUSES), deduplicated: z.literal(true).optional() }),
      z.object({ error: problemSchema }),
    ]),
  ),
});

const phaseSchema = z
  .object({
    id: z.uuid(),
    name: z.string(),
    status: z.enum(PHASE_STATUSES),
    needs: z.array(z.string()),
    attempts: z.int(),
    output: z.unknown().optional(),
    error: z.object({ code: z.string(), message: z.string() }).optional(),
    startedAt: instantOrNull,
    finishedAt: instantOrNull,
    progress: progressSchema.optional(),
  })
  .meta({ id: 'Phase', title: 'Phase' });
export type PhaseAnswer = z.infer<typeof phaseSchema>;

const headShape = {
  id: z.uuid(),
  flow: z.string(),
  version: z.int(),
  status: z.enum(FLOW_STATUSES),
  run: z.int().meta({ description: 'Counts from 1; a retry, or a phase that is run again, opens the next' }),
  workspace: z.string(),
  tags: z.record(z.string(), z.string()),
  priority: z.int(),
  createdAt: instantSchema,
  startedAt: instantOrNull,
  finishedAt: instantOrNull,
  runAt: instantOrNull,
  expiresAt: instantOrNull.meta({ description: 'It fails as `expired` when it has not started by then' }),
  concurrencyKey: z.string().nullable(),
  concurrencyLimit: z.int().nullable().meta({ description: 'Null without concurrencyKey' }),
  error: z.object({ code: z.string(), message: z.string(), phase: z.string().optional() }).optional(),
  links: linksSchema,
};

export const flowSchema = z
  .object({
    ...headShape,
    input: z.unknown(),
    outputs: z.record(z.string(), z.unknown()).meta({ description: 'Results of the completed phases by name' }),
    phases: z.array(phaseSchema),
    pause: flowPauseSchema.optional().meta({ description: 'While it is paused' }),
  })
  .meta({ id: 'Flow', title: 'Flow' });
export type FlowAnswer = z.infer<typeof flowSchema>;

export const listedFlowSchema = z
  .object({ ...headShape, phasesTotal: z.int(), phasesOpen: z.int() })
  .meta({ id: 'ListedFlow', title: 'ListedFlow' });
export type ListedFlowAnswer = z.infer<typeof listedFlowSchema>;

export const flowPageSchema = pageOf(listedFlowSchema);
export const progressListSchema = z.object({ items: z.array(progressSchema) });
