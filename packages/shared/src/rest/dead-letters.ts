// Dead letters: failed and quarantined phases, grouped into incidents, and what may be done about them.
import { z } from 'zod';
import { FLOW_STATUSES } from '../statuses.ts';
import { instantQuery, instantSchema, pageOf, pageQuery } from './common.ts';
import { operationRate, operationSchema } from './operations.ts';

const IDS_MAX = 200;
const name = z.string().min(1).max(200);

const filterShape = {
  flow: name.optional().meta({ description: 'Name of a definition' }),
  phase: name.optional().meta({ description: 'Name of a phase' }),
  code: name.optional().meta({ description: 'Code of the error' }),
  failedAfter: instantQuery.optional().meta({ description: 'Exclusive' }),
  failedBefore: instantQuery.optional().meta({ description: 'Exclusive' }),
};

/** Query of GET /v1/dead. */
export const deadListQuery = z.strictObject({ ...filterShape, ...pageQuery });
export const incidentQuery = z.strictObject(pageQuery);

export const deadFilterBody = z.strictObject(filterShape).meta({ id: 'DeadFilter', title: 'DeadFilter' });
export type DeadFilterBody = z.infer<typeof deadFilterBody>;

const selectionShape = {
  ids: z.array(z.uuid()).min(1).max(IDS_MAX).optional().meta({ description: 'Incidents' }),
  filter: deadFilterBody.optional().meta({ description: '`{}` means all of them' }),
  ratePerSecond: operationRate.optional(),
};
const isOneOf = ({ ids, filter }: { ids?: unknown; filter?: unknown }) => (ids === undefined) !== (filter === undefined);
const ONE_OF = 'must have either ids or filter';

/** Body of POST /v1/dead/purge. */
export const purgeBody = z.strictObject(selectionShape).refine(isOneOf, ONE_OF).meta({ id: 'DeadPurge', title: 'DeadPurge' });

/** Body of POST /v1/dead/replay. */
export const replayBody = z
  .strictObject({
    ...selectionShape,
    canary: z.boolean().optional().meta({
      description:
        'A few first, then growing steps, each after the one before has been judged; it stops by itself when the same failure returns. Default: true for more than a few.',
    }),
  })
  .refine(isOneOf, ONE_OF)
  .meta({ id: 'DeadReplay', title: 'DeadReplay' });

const incidentShape = {
  id: z.uuid(),
  cause: z.string().meta({ description: 'Code and message, with `<*>` where they differ' }),
  flow: z.string(),
  phase: z.string(),
  count: z.int().meta({ description: 'Dead phases' }),
  countCapped: z.boolean().meta({ description: 'There are more than `count`' }),
  firstAt: instantSchema,
  lastAt: instantSchema,
  sample: z.array(z.uuid()).meta({ description: 'Some of its flows, the last to fail first' }),
};

export const incidentSchema = z.object(incidentShape).meta({ id: 'Incident', title: 'Incident' });
export type IncidentAnswer = z.infer<typeof incidentSchema>;
export const incidentPageSchema = pageOf(incidentSchema);

const deadPhaseSchema = z.object({
  id: z.uuid(),
  flowId: z.uuid(),
  flowStatus: z.enum(FLOW_STATUSES),
  status: z.enum(['failed', 'quarantined']),
  attempts: z.int(),
  error: z.object({ code: z.string(), message: z.string() }),
  failedAt: instantSchema,
});
export type DeadPhaseAnswer = z.infer<typeof deadPhaseSchema>;

/** One incident and a page of its phases, the last to fail first. */
export const incidentDetailSchema = z.object({
  ...incidentShape,
  phases: z.array(deadPhaseSchema),
  nextCursor: z.string().nullable(),
});

export const replayedSchema = z.object({
  replayed: z.int().meta({ description: 'Flows that get a new run' }),
  capped: z.boolean().meta({ description: 'There are more than that' }),
  operation: operationSchema,
});

export const purgedSchema = z.object({
  purged: z.int().meta({ description: 'Phases that leave the list' }),
  capped: z.boolean(),
  operation: operationSchema,
});
