// What clients get to read about queues, workers and jobs.
import { z } from 'zod';
import { QUEUE_NAMES } from '../job.ts';
import { instantSchema, pageOf, pageQuery } from './common.ts';
import { queuePauseSchema } from './pauses.ts';

const count = z.int().min(0);
const queueName = z.enum(QUEUE_NAMES);

const queueCountsSchema = z.object({
  backlog: count.meta({ description: 'Ready, waiting in PostgreSQL for a place in the queue' }),
  dispatched: count.meta({ description: 'In the queue, waiting for a worker' }),
  running: count,
  delayed: count.meta({ description: 'Failed and waiting for their next attempt, or interrupted and put off' }),
  scheduled: count.meta({ description: 'Not before a start time' }),
  held: z.object({
    limit: count.meta({ description: 'Their concurrency key is full' }),
    rate: count.meta({ description: 'Their rate limit is used up' }),
    pause: count.meta({ description: 'Their flow or import is paused' }),
    worker: count.meta({ description: 'No live worker knows their flow in its version' }),
  }),
  waiting: count.meta({ description: 'Suspended until a signal, a time, children or a callback' }),
  failed: count.meta({ description: 'Failed and quarantined phases; of data-import: failed imports' }),
});

export const queueSchema = z
  .object({
    name: queueName,
    counts: queueCountsSchema.meta({ description: "The caller's workspace only. Phases; of data-import: chunks." }),
    countedUpTo: z.int().meta({ description: 'A count that says this is this or more' }),
    oldestWaitingSeconds: z
      .number()
      .nullable()
      .meta({ description: 'Since the oldest flow or import of which something is ready was accepted' }),
    perMinute: z
      .object({ completed: z.number(), failed: z.number() })
      .meta({ description: 'Attempts that ended, per minute, over the last five; some seconds old' }),
    paused: z.boolean().meta({ description: "Whether the caller's workspace is held up by one of the pauses" }),
    pauses: z.array(queuePauseSchema),
  })
  .meta({ id: 'Queue', title: 'Queue' });
export type QueueAnswer = z.infer<typeof queueSchema>;
export const queuePageSchema = pageOf(queueSchema);

export const workerListQuery = z.strictObject(pageQuery);

const workSchema = z.object({
  queue: queueName,
  id: z.uuid().meta({ description: 'The phase or chunk' }),
  flowId: z.uuid().optional(),
  importId: z.uuid().optional(),
  workspace: z.string(),
  name: z.string().meta({ description: "The phase's name; of a chunk its number" }),
  startedAt: instantSchema,
  leaseUntil: instantSchema,
});

export const workerSchema = z
  .object({
    id: z.string(),
    host: z.string(),
    pid: z.int(),
    status: z.enum(['alive', 'stopping', 'dead']).meta({ description: 'stopping: takes nothing new. dead: silent for 15 s' }),
    startedAt: instantSchema,
    seenAt: instantSchema,
    concurrency: z.int().meta({ description: 'Phases it may run at a time' }),
    running: z.int().meta({ description: 'Phases it ran when it was last seen' }),
    queues: z.array(queueName),
    definitions: z.array(z.object({ name: z.string(), version: z.int() })).meta({ description: 'The flows it knows, in which versions' }),
    work: z.array(workSchema).meta({ description: 'What it has leases for, the oldest first, 100 at most' }),
  })
  .meta({ id: 'Worker', title: 'Worker' });
export type WorkerAnswer = z.infer<typeof workerSchema>;
export const workerPageSchema = pageOf(workerSchema);

/** none: nothing of it is in the queue now. superseded: there is a later job of the same phase. */
export const JOB_STATES = [
  'none',
  'queued',
  'delayed',
  'running',
  'suspended',
  'completed',
  'failed',
  'skipped',
  'cancelled',
  'superseded',
] as const;
export type JobState = (typeof JOB_STATES)[number];

const errorSchema = z.object({ code: z.string(), message: z.string() });

export const jobSchema = z
  .object({
    id: z.string().meta({ description: '`<phase id>-<generation>`' }),
    queue: queueName,
    state: z.enum(JOB_STATES).meta({
      description:
        'none: nothing of it is in the queue now. suspended: it waits without a worker. superseded: there is a later job of the same phase',
    }),
    generation: z.int(),
    latestGeneration: z.int(),
    flowId: z.uuid().optional(),
    flow: z.string().optional(),
    phase: z.string().optional(),
    importId: z.uuid().optional(),
    chunk: z.int().optional(),
    priority: z.int().nullable(),
    worker: z.string().nullable().meta({ description: 'The one that runs it or completed it' }),
    attemptsUsed: z.int(),
    attemptsMax: z.int().nullable(),
    attempts: z
      .array(
        z.object({
          attempt: z.int(),
          run: z.int(),
          outcome: z.string().meta({ description: 'failed, interrupted, lost or cancelled' }),
          worker: z.string(),
          error: errorSchema.optional(),
          startedAt: instantSchema,
          finishedAt: instantSchema,
        }),
      )
      .meta({ description: 'Those that did not complete it, the latest first, 50 at most' }),
    error: errorSchema.optional(),
    dueAt: instantSchema.nullable().meta({ description: 'End of the lease while running; time of the next attempt while delayed' }),
    startedAt: instantSchema.nullable(),
    finishedAt: instantSchema.nullable(),
  })
  .meta({ id: 'Job', title: 'Job' });
export type JobAnswer = z.infer<typeof jobSchema>;
