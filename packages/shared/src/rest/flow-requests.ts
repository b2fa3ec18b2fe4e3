// What clients send to start flows.
import { z } from 'zod';
import { LIMITS } from '../limits.ts';
import { TAG_KEY_PATTERN, TAG_VALUE_CHARS_MAX } from './flow-filter.ts';

export const PRIORITY_DEFAULT = 50;

const tagsSchema = z
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
  })
  .meta({ id: 'NewFlow', title: 'NewFlow' });
export type NewFlowBody = z.infer<typeof newFlowSchema>;

/** One line of POST /v1/flows/batch. The key is checked where it is used, so that a bad one has its own code. */
export const batchLineSchema = newFlowSchema
  .extend({ idempotencyKey: z.string().optional() })
  .meta({ id: 'NewFlowLine', title: 'NewFlowLine' });
export type BatchLineBody = z.infer<typeof batchLineSchema>;
