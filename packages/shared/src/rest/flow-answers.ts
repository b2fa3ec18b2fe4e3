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

const cancellationSchema = z
  .object({
    requestedAt: instantSchema,
    by: z.string().nullable().meta({ description: 'The key that asked for it' }),
    phases: z.array(
      z.object({
        phase: z.string(),
        worker: z.string(),
        requestedAt: instantSchema,
        seenAt: instantOrNull.meta({ description: 'When the worker heard of it and told the handler' }),
        endedAt: instantOrNull,
        how: z.enum(['stopped', 'killed', 'fenced']).nullable().meta({
          description:
            'stopped: the handler ended. killed: its process was ended with it. fenced: it was left behind, or its worker is gone; it can commit nothing',
        }),
      }),
    ),
  })
  .meta({ id: 'Cancellation', title: 'Cancellation', description: 'What became of each phase that ran when the flow was cancelled' });
export type CancellationAnswer = z.infer<typeof cancellationSchema>;

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
    cancellation: cancellationSchema.optional(),
  })
  .meta({ id: 'Flow', title: 'Flow' });
export type FlowAnswer = z.infer<typeof flowSchema>;

export const listedFlowSchema = z
  .object({ ...headShape, phasesTotal: z.int(), phasesOpen: z.int() })
  .meta({ id: 'ListedFlow', title: 'ListedFlow' });
export type ListedFlowAnswer = z.infer<typeof listedFlowSchema>;

export const flowPageSchema = pageOf(listedFlowSchema);
export const progressListSchema = z.object({ items: z.array(progressSchema) });
