// What services send when they have done the work of a phase that they had accepted with 202.
import { z } from 'zod';

const MESSAGE_CHARS_MAX = 2_000;

const callbackErrorSchema = z.strictObject({
  code: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9_.-]{0,99}$/, 'must start with a letter and have only letters, digits, "_", "." and "-", 100 at most')
    .default('callback-failed')
    .meta({ description: 'Groups failures of one kind' }),
  message: z.string().min(1).max(MESSAGE_CHARS_MAX),
  retryable: z
    .boolean()
    .default(false)
    .meta({ description: 'True: the phase tries again by its policy while it has attempts left. Otherwise it has failed.' }),
});

/** Body of POST /v1/callbacks: the result, or why there is none. */
export const callbackSchema = z
  .strictObject({
    output: z.unknown().optional().meta({ description: "Any JSON; becomes the phase's output" }),
    error: callbackErrorSchema.optional(),
  })
  .refine((body) => Object.hasOwn(body, 'output') !== (body.error !== undefined), 'must have either output or error')
  .meta({ id: 'Callback', title: 'Callback' });
export type CallbackBody = z.infer<typeof callbackSchema>;

export const callbackAnswerSchema = z
  .object({ status: z.enum(['completed', 'retrying', 'failed']).meta({ description: 'Of the phase from now on' }) })
  .meta({ id: 'CallbackAnswer', title: 'CallbackAnswer' });
