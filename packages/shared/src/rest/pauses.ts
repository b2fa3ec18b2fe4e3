// Pauses of flows and of queues: who, why, and until when.
import { z } from 'zod';
import { instantSchema } from './common.ts';

const REASON_CHARS_MAX = 500;

const pauseShape = {
  reason: z.string().max(REASON_CHARS_MAX).optional().meta({ description: 'For whoever finds it paused' }),
  until: z.iso
    .datetime({ offset: true, error: 'must be RFC 3339 with an offset, such as 2027-01-31T09:00:00Z' })
    .optional()
    .meta({ description: 'It ends by itself then; ten years ahead at most. Without it, it lasts until it is resumed.' }),
};

/** Body of POST /v1/flows/{id}/pause. */
export const pauseFlowSchema = z.strictObject(pauseShape).meta({ id: 'PauseFlow', title: 'PauseFlow' });

/** `workspace`: work of the caller's workspace. `everybody`: of all workspaces. */
const pauseScope = z.enum(['workspace', 'everybody']);
const scopeField = {
  scope: pauseScope
    .default('workspace')
    .meta({ description: "`workspace`: the caller's own work. `everybody`: all workspaces; needs the role in the workspace `default`." }),
};

/** Body of POST /v1/queues/{queue}/pause. */
export const pauseQueueSchema = z.strictObject({ ...scopeField, ...pauseShape }).meta({ id: 'PauseQueue', title: 'PauseQueue' });

/** Body of POST /v1/queues/{queue}/resume. */
export const resumeQueueSchema = z.strictObject(scopeField).meta({ id: 'ResumeQueue', title: 'ResumeQueue' });

const pausedShape = {
  by: z.string().meta({ description: 'Id of the API key that paused it' }),
  reason: z.string().nullable(),
  at: instantSchema,
  until: instantSchema.nullable(),
};

/** `pause` of a flow that is paused. */
export const flowPauseSchema = z.object(pausedShape);
export type FlowPauseAnswer = z.infer<typeof flowPauseSchema>;

export const queuePauseSchema = z.object({ scope: pauseScope, ...pausedShape });
