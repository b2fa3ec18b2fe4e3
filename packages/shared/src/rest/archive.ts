// Flows that were deleted and archived before.
import { z } from 'zod';
import { FLOW_STATUSES } from '../statuses.ts';
import { instantSchema, pageOf, pageQuery } from './common.ts';
import { flowSchema } from './flow-answers.ts';

const headShape = {
  id: z.uuid(),
  flow: z.string(),
  version: z.int(),
  status: z.enum(FLOW_STATUSES),
  tags: z.record(z.string(), z.string()),
  createdAt: instantSchema,
  finishedAt: instantSchema,
  archivedAt: instantSchema,
  links: z.object({ self: z.string() }),
};

export const archivePageSchema = pageOf(z.object(headShape).meta({ id: 'ArchivedFlowHead', title: 'ArchivedFlowHead' }));
export type ArchivedHeadAnswer = z.infer<typeof archivePageSchema>['items'][number];

export const archivedFlowSchema = z
  .object({
    ...headShape,
    outputsOmitted: z.boolean().meta({ description: 'The outputs were too large together to be archived' }),
    document: flowSchema.omit({ links: true }).meta({ description: 'The flow as it was' }),
    events: z.array(z.record(z.string(), z.unknown())).meta({ description: 'Its event log in order' }),
  })
  .meta({ id: 'ArchivedFlow', title: 'ArchivedFlow' });
export type ArchivedFlowAnswer = z.infer<typeof archivedFlowSchema>;

export const archiveListQuery = z.strictObject({
  ...pageQuery,
  flow: z.string().min(1).max(100).optional().meta({ description: 'Name of the definition' }),
});
