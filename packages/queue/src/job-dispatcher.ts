// Puts jobs into the queues and finds out what is there. The truth about what should be there is in PostgreSQL.
import { AppError, jobIdOf, QUEUE_NAMES, type Dispatch, type JobRef, type QueueName } from '@millrace/shared';
import { withTimeout } from '@millrace/process';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { createProducerConnection, type QueueConnectionOptions } from './queue-connection.ts';

export type JobDispatcher = {
  /** Adds jobs in one go. A job that is there already stays as it is. @throws AppError dependency-unavailable when Redis is away. */
  dispatch(queue: QueueName, dispatches: readonly Dispatch[]): Promise<void>;
  /** Jobs that wait for a worker, delayed ones not counted. */
  waitingCount(queue: QueueName): Promise<number>;
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

export function createJobDispatcher(options: QueueConnectionOptions & { prefix: string }): JobDispatcher {
  const connection = createProducerConnection(options);
  const queues = new Map<QueueName, Queue>();
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
  return {
    dispatch: async (name, dispatches) => {
      if (dispatches.length === 0) return;
      requireReady();
      await withTimeout(queueOf(name).addBulk(dispatches.map((dispatch) => toJob(name, dispatch))), DISPATCH_TIMEOUT_MS);
    },
    waitingCount: async (name) => {
      requireReady();
      const counts = await withTimeout(queueOf(name).getJobCounts('waiting', 'prioritized'), DISPATCH_TIMEOUT_MS);
      return (counts['waiting'] ?? 0) + (counts['prioritized'] ?? 0);
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

function toJob(name: QueueName, dispatch: Dispatch) {
  return {
    name,
    data: { id: dispatch.id, generation: dispatch.generation },
    opts: {
      jobId: jobIdOf(dispatch),
      priority: dispatch.priority,
      attempts: dispatch.attempts,
      backoff: { type: BACKOFF_NAME },
      ...(dispatch.delayMs > 0 ? { delay: dispatch.delayMs } : {}),
    },
  };
}
