// Puts jobs into the queues and finds out what is there. The truth about what should be there is in PostgreSQL.
import { AppError, jobIdOf, QUEUE_NAMES, type Dispatch, type JobRef, type QueueName } from '@millrace/shared';
import { withTimeout } from '@millrace/process';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { createFairOrder, ROUND, ROUNDS_MAX, type FairOrder } from './fair-order.ts';
import { createProducerConnection, type QueueConnectionOptions } from './queue-connection.ts';

export type JobDispatcher = {
  /** Adds jobs in one go. A job that is there already stays as it is. @throws AppError dependency-unavailable when Redis is away. */
  dispatch(queue: QueueName, dispatches: readonly Dispatch[], weights?: ReadonlyMap<string, number>): Promise<void>;
  /** Jobs that wait for a worker, delayed ones not counted. */
  waitingCount(queue: QueueName): Promise<number>;
  /** About how many jobs of each workspace wait, in units of its weight. */
  depths(queue: QueueName, workspaces: readonly string[]): Promise<number[]>;
  /** Says for two seconds that ready work waits outside of the queue, so that nobody overtakes it. */
  markBacklog(queue: QueueName): Promise<void>;
  hasBacklog(queue: QueueName): Promise<boolean>;
  /** Which of these jobs are not in the queue any more, or are there only as finished. */
  missing(queue: QueueName, jobs: readonly JobRef[]): Promise<JobRef[]>;
  isReady(): boolean;
  /** BullMQ's own queue objects, for Bull Board. */
  queues(): readonly Queue[];
  close(): Promise<void>;
};

/** The retry strategy of ours that the worker side knows by this name. */
export const BACKOFF_NAME = 'millrace';
const DISPATCH_TIMEOUT_MS = 3_000;
/** A completed job has nothing to tell that PostgreSQL does not know, and keeping it would cost Redis a quarter more per job. Failed ones stay visible for a day. */
const REMOVE_COMPLETED = true;
const KEEP_FAILED = { age: 24 * 3_600, count: 2_000 };
const GONE_STATES = new Set(['unknown', 'completed', 'failed']);
/** Rounds are set back when half of those that BullMQ can order are used up. */
const SET_BACK_AT = ROUNDS_MAX / 2;

export function createJobDispatcher(options: QueueConnectionOptions & { prefix: string; setBackAt?: number }): JobDispatcher {
  const connection = createProducerConnection(options);
  const queues = new Map<QueueName, Queue>();
  const orders = new Map(QUEUE_NAMES.map((queue) => [queue, createFairOrder({ client: connection, prefix: options.prefix, queue })]));
  const orderOf = (name: QueueName) => orders.get(name) ?? createFairOrder({ client: connection, prefix: options.prefix, queue: name });
  // A queue object whose first words with Redis failed stays unusable for ever, so it is replaced at its next use.
  const queueOf = (name: QueueName) => {
    const known = queues.get(name);
    if (known !== undefined) return known;
    const queue = createQueue({ name, connection, prefix: options.prefix });
    queues.set(name, queue);
    queue.waitUntilReady().catch(() => queues.delete(name));
    return queue;
  };
  QUEUE_NAMES.forEach(queueOf);
  const requireReady = () => {
    if (connection.status !== 'ready')
      throw new AppError('dependency-unavailable', { detail: 'Redis is not available.', retryAfterSeconds: 2 });
  };
  const add = async (name: QueueName, dispatches: readonly Dispatch[], weights: ReadonlyMap<string, number>) => {
    const priorities = await fairPriorities(orderOf(name), dispatches, weights);
    await queueOf(name).addBulk(dispatches.map((dispatch, index) => toJob(name, dispatch, priorities[index] ?? ROUND * ROUNDS_MAX)));
    if (Math.min(...priorities) > (options.setBackAt ?? SET_BACK_AT) * ROUND) await setBack(queueOf(name), orderOf(name));
  };
  return {
    dispatch: async (name, dispatches, weights = new Map()) => {
      if (dispatches.length === 0) return;
      requireReady();
      await withTimeout(add(name, dispatches, weights), DISPATCH_TIMEOUT_MS);
    },
    waitingCount: async (name) => {
      requireReady();
      const counts = await withTimeout(queueOf(name).getJobCounts('waiting', 'prioritized'), DISPATCH_TIMEOUT_MS);
      return (counts['waiting'] ?? 0) + (counts['prioritized'] ?? 0);
    },
    depths: (name, workspaces) => {
      requireReady();
      return withTimeout(orderOf(name).depths(workspaces), DISPATCH_TIMEOUT_MS);
    },
    markBacklog: async (name) => {
      requireReady();
      await withTimeout(orderOf(name).markBacklog(), DISPATCH_TIMEOUT_MS);
    },
    hasBacklog: (name) => {
      requireReady();
      return withTimeout(orderOf(name).hasBacklog(), DISPATCH_TIMEOUT_MS);
    },
    missing: async (name, jobs) => {
      requireReady();
      const states = await withTimeout(Promise.all(jobs.map((job) => queueOf(name).getJobState(jobIdOf(job)))), DISPATCH_TIMEOUT_MS);
      return jobs.filter((_, index) => GONE_STATES.has(states[index] ?? 'unknown'));
    },
    isReady: () => connection.status === 'ready',
    queues: () => QUEUE_NAMES.map(queueOf),
    close: async () => {
      await Promise.all([...queues.values()].map((queue) => queue.close()));
      connection.disconnect();
    },
  };
}

function createQueue({ name, connection, prefix }: { name: QueueName; connection: Redis; prefix: string }): Queue {
  const queue = new Queue(name, {
    connection,
    prefix,
    defaultJobOptions: { removeOnComplete: REMOVE_COMPLETED, removeOnFail: KEEP_FAILED },
  });
  // The connection's own listener reports failures; without one here BullMQ would throw them.
  queue.on('error', () => undefined);
  return queue;
}

/** The priority of each job in BullMQ: its round, and in it the user's priority. Jobs of one workspace and priority keep their order. */
async function fairPriorities(order: FairOrder, dispatches: readonly Dispatch[], weights: ReadonlyMap<string, number>): Promise<number[]> {
  const groups = [...Map.groupBy(dispatches, ({ workspace, priority }) => `${priority} ${workspace}`)];
  const times = await order.assign(
    groups.map(([, [first, ...rest]]) => ({
      workspace: first?.workspace ?? '',
      weight: weights.get(first?.workspace ?? '') ?? 1,
      priority: first?.priority ?? 1,
      count: rest.length + 1,
    })),
  );
  const next = new Map(groups.map(([key], index) => [key, { round: times[index]?.start ?? 0, step: times[index]?.step ?? 0 }]));
  return dispatches.map(({ workspace, priority }) => {
    const group = next.get(`${priority} ${workspace}`);
    if (group === undefined) throw new Error('a dispatch is in none of its groups');
    const round = Math.min(ROUNDS_MAX, Math.max(0, Math.floor(group.round)));
    group.round += group.step;
    return round * ROUND + Math.min(ROUND - 1, Math.max(1, priority));
  });
}

// A job that is added meanwhile may go ahead of its turn once; that is all that can happen.
async function setBack(queue: Queue, order: FairOrder): Promise<void> {
  const rounds = Math.floor(await order.now());
  if (rounds === 0) return;
  await order.setBack(rounds);
  // Those that wait for their time come back with the priority they have.
  const waiting = await queue.getJobs(['prioritized', 'delayed'], 0, -1, true);
  await Promise.all(waiting.map((job) => job.changePriority({ priority: Math.max(1, (job.opts.priority ?? 1) - rounds * ROUND) })));
}

function toJob(name: QueueName, dispatch: Dispatch, priority: number) {
  return {
    name,
    data: { id: dispatch.id, generation: dispatch.generation },
    opts: {
      jobId: jobIdOf(dispatch),
      priority,
      attempts: dispatch.attempts,
      backoff: { type: BACKOFF_NAME },
      ...(dispatch.delayMs > 0 ? { delay: dispatch.delayMs } : {}),
    },
  };
}
