// What clients send to start flows.
import { z } from 'zod';
import { LIMITS } from '../limits.ts';
import { TAG_KEY_PATTERN, TAG_VALUE_CHARS_MAX } from './flow-filter.ts';

export const PRIORITY_DEFAULT = 50;

/**
 * What a start does whose dedupe key stands for another flow. reject: it is refused while the other has not ended. return: the other is
 * answered while it has not ended. replace: it takes the other's place while that has not started, and is like return afterwards.
 * window: the other is answered for a time, whatever became of it.
 */
export const DEDUPE_MODES = ['reject', 'return', 'replace', 'window'] as const;
export type DedupeMode = (typeof DEDUPE_MODES)[number];

export const tagsSchema = z
  .record(z.string().regex(TAG_KEY_PATTERN, 'must be 1 to 64 letters, digits, "_", "." or "-"'), z.string().max(TAG_VALUE_CHARS_MAX))
  .refine((tags) => Object.keys(tags).length <= LIMITS.tagsMax, `there may be at most ${LIMITS.tagsMax} tags`);

/** Body of POST /v1/flows. `input` is checked further by the flow's own schema. */
export const newFlowSchema = z
  .strictObject({
    flow: z.string().min(1).meta({ description: 'Name of a flow definition', example: 'discovery' }),
    input: z
      .unknown()
      .refine((input) => input !== undefined, 'is required')
      .meta({ description: "Checked by the definition's own schema" }),
    priority: z.int().min(1).max(100).default(PRIORITY_DEFAULT).meta({ description: 'Lower runs first' }),
    runAt: z.iso
      .datetime({ offset: true, error: 'must be RFC 3339 with an offset, such as 2027-01-31T09:00:00Z' })
      .optional()
      .meta({ description: 'Not before this time. The past means now; over ten years ahead is refused.' }),
    tags: tagsSchema.default({}),
    concurrencyKey: z
      .string()
      .min(1)
      .max(LIMITS.flowKeyCharsMax)
      .optional()
      .meta({ description: 'At most `concurrencyLimit` flows of this key run at a time in the workspace, first in first out' }),
    concurrencyLimit: z
      .int()
      .min(1)
      .max(LIMITS.concurrencyMax)
      .optional()
      .meta({ description: 'With concurrencyKey; 1 unless said. The flow whose turn it is decides with its own.' }),
    expiresAt: z.iso
      .datetime({ offset: true, error: 'must be RFC 3339 with an offset, such as 2027-01-31T09:00:00Z' })
      .optional()
      .meta({ description: 'A flow that has not started by then fails as `expired`' }),
    dedupeKey: z
      .string()
      .min(1)
      .max(LIMITS.flowKeyCharsMax)
      .optional()
      .meta({ description: 'Stands for one flow of this definition in the workspace; see dedupeMode' }),
    dedupeMode: z.enum(DEDUPE_MODES).optional().meta({
      description:
        'While the flow that dedupeKey stands for has not ended: `return` (unless said) answers it, `reject` answers 409, `replace` cancels it and takes its place if it has not started and answers it otherwise. `window` answers it for dedupeWindow after its start was accepted, whatever became of it.',
    }),
    dedupeWindow: z
      .string()
      .max(32)
      .optional()
      .meta({ description: 'For dedupeMode `window`: a duration of at most 24 days', example: '10m' }),
  })
  .meta({ id: 'NewFlow', title: 'NewFlow' });
export type NewFlowBody = z.infer<typeof newFlowSchema>;

/** One line of POST /v1/flows/batch. The key is checked where it is used, so that a bad one has its own code. */
export const batchLineSchema = newFlowSchema
  .extend({ idempotencyKey: z.string().optional() })
  .meta({ id: 'NewFlowLine', title: 'NewFlowLine' });
export type BatchLineBody = z.infer<typeof batchLineSchema>;
