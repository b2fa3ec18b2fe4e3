// Operations: work on many flows or dead phases that is carried out in the background, and how clients follow and stop it.
import { z } from 'zod';
import { instantSchema, pageOf, pageQuery } from './common.ts';
import { flowFilterBody } from './flow-filter.ts';

/** replay: new runs of the flows of dead phases. purge: dead phases leave their list. cancel, retry: of flows. */
export const OPERATION_KINDS = ['replay', 'purge', 'cancel', 'retry'] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];

/** stopped: by somebody, or by its own canary; `message` says which. failed: it could not be carried out. */
export const OPERATION_STATUSES = ['queued', 'running', 'completed', 'stopped', 'failed'] as const;
export type OperationStatus = (typeof OPERATION_STATUSES)[number];

/** A total that is larger is not counted further; the work is done all the same. */
export const OPERATION_TOTAL_MAX = 100_000;
export const OPERATION_RATE_MAX = 1_000;

export const operationRate = z
  .number()
  .min(0.01)
  .max(OPERATION_RATE_MAX)
  .meta({ description: `Flows per second, at most ${OPERATION_RATE_MAX}` });

const canarySchema = z.object({
  released: z.int().meta({ description: 'Runs opened so far' }),
  open: z.int().meta({ description: 'Of these, not yet judged: the phase that was dead has not ended again' }),
  recovered: z.int().meta({ description: 'The phase that was dead completed' }),
  returned: z.int().meta({ description: 'The same failure came back' }),
  otherwise: z.int().meta({ description: 'It failed in another way' }),
  unjudged: z.int().meta({ description: 'It was cancelled, or retried by somebody else' }),
  step: z.int().meta({ description: 'Runs in the present step; the next one begins when all of them are judged' }),
});
export type CanaryAnswer = z.infer<typeof canarySchema>;

export const operationSchema = z
  .object({
    id: z.uuid(),
    kind: z.enum(OPERATION_KINDS),
    status: z.enum(OPERATION_STATUSES),
    selection: z.record(z.string(), z.unknown()).meta({ description: 'What was asked for: `ids` or `filter`' }),
    total: z.int().nullable().meta({ description: 'Null until it is counted' }),
    totalCapped: z.boolean().meta({ description: 'There are more than `total`; all are worked off' }),
    done: z.int().meta({ description: 'Looked after so far: succeeded, skipped and failed' }),
    succeeded: z.int(),
    skipped: z.int().meta({ description: 'Left as they are: their status no longer allowed it' }),
    failed: z.int().meta({ description: "Could not be changed; the worker's log says why" }),
    ratePerSecond: z.number(),
    canary: canarySchema.nullable(),
    message: z.string().nullable(),
    createdBy: z.string(),
    createdAt: instantSchema,
    startedAt: instantSchema.nullable(),
    finishedAt: instantSchema.nullable(),
    links: z.object({ self: z.string(), stop: z.string() }),
  })
  .meta({ id: 'Operation', title: 'Operation' });
export type OperationAnswer = z.infer<typeof operationSchema>;

export const operationPageSchema = pageOf(operationSchema);

const listOf = <Value extends string>(values: readonly [Value, ...Value[]]) =>
  z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(values)).min(1));

/** Query of GET /v1/operations. */
export const operationListQuery = z.strictObject({
  status: listOf(OPERATION_STATUSES)
    .optional()
    .meta({ description: `Comma list of ${OPERATION_STATUSES.join(', ')}` }),
  kind: listOf(OPERATION_KINDS)
    .optional()
    .meta({ description: `Comma list of ${OPERATION_KINDS.join(', ')}` }),
  ...pageQuery,
});

/** Body of POST /v1/flows/bulk. */
export const bulkBody = z
  .strictObject({
    action: z.enum(['cancel', 'retry']),
    filter: flowFilterBody.refine((filter) => Object.keys(filter).length > 0, 'must name at least one criterion'),
    dryRun: z.boolean().optional().meta({ description: 'Only counts, and shows some of the flows' }),
    ratePerSecond: operationRate.optional(),
  })
  .meta({ id: 'BulkAction', title: 'BulkAction' });
export type BulkBody = z.infer<typeof bulkBody>;

export const bulkDryRunSchema = z.object({
  count: z.int(),
  capped: z.boolean().meta({ description: 'True: there are at least this many' }),
  sample: z.array(z.uuid()).meta({ description: 'Some of the flows, newest first' }),
});
