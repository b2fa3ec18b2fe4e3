// Takes jobs out of a queue and turns what the engine says of each into BullMQ's signals. No other file knows that vocabulary.
import { isUuid, type JobRef, type QueueName } from '@millrace/shared';
import { withTimeout, type Service } from '@millrace/process';
import { DelayedError, UnrecoverableError, Worker, type Job } from 'bullmq';
import { createConsumerConnection, type ConsumerConnection, type QueueConnectionOptions } from './queue-connection.ts';

/** What became of a delivery. Only `failed` and `retry` count as attempts in the queue; the truth is in PostgreSQL anyway. */
export type DeliveryOutcome =
  | { kind: 'finished' }
  /** The attempt failed; this job is to come again after the delay. */
  | { kind: 'retry'; delayMs: number; message: string }
  /** The last attempt failed. */
  | { kind: 'failed'; message: string }
  /** Not now: the same job again after the delay, at no cost. */
  | { kind: 'later'; delayMs: number };

export type JobConsumer = Service & {
  /** Stops taking jobs; what runs goes on. */
  pause(): void;
  /** Deliveries that are being worked on. */
  activeCount(): number;
};

export type JobConsumerOptions = QueueConnectionOptions & {
  queue: QueueName;
  prefix: string;
  concurrency: number;
  /** Must not reject: a rejection is a bug and ends as `later`. */
  handle(job: JobRef): Promise<DeliveryOutcome>;
};

/**
 * A crashed worker's jobs are found by the reconciler when their lease in PostgreSQL ends; BullMQ's own check is the second net.
 * 10 s and 5 s give at most 15 s there too. The limit on stalls is high because PostgreSQL counts crashes.
 */
const STALL_CHECK = { lockDuration: 10_000, stalledInterval: 5_000, maxStalledCount: 1_000 };
const UNEXPECTED_RETRY_MS = 5_000;
const GENERATION_MAX = 2_147_483_647;
const PAUSED_RETURN_MS = 50;

/** Carries the delay from the thrown failure to the backoff strategy. */
class AttemptFailed extends Error {
  readonly delayMs: number;
  constructor(message: string, delayMs: number) {
    super(message);
    this.name = 'AttemptFailed';
    this.delayMs = delayMs;
  }
}

export function createJobConsumer(options: JobConsumerOptions): JobConsumer {
  let active = 0;
  let paused = false;
  const work = async (job: Job<JobRef>, token: string | undefined) => {
    active += 1;
    try {
      // A fetch that was under way when we paused may still bring a job: others are to have it.
      await settle(job, token, paused ? { kind: 'later', delayMs: PAUSED_RETURN_MS } : await handled(options, job));
    } finally {
      active -= 1;
    }
  };
  let running: { worker: Worker<JobRef>; connection: ConsumerConnection } | undefined;
  return {
    name: `consumer ${options.queue}`,
    start: () => {
      const connection = createConsumerConnection(options);
      const worker = new Worker<JobRef>(options.queue, work, {
        connection: connection.client,
        prefix: options.prefix,
        concurrency: options.concurrency,
        autorun: false,
        settings: { backoffStrategy: (_attempts, _type, error) => (error instanceof AttemptFailed ? error.delayMs : UNEXPECTED_RETRY_MS) },
        ...STALL_CHECK,
      });
      worker.on('error', () => undefined);
      worker.run().catch((error: unknown) => {
        options.log.error({ err: error, queue: options.queue }, 'consumer ended');
      });
      running = { worker, connection };
      return Promise.resolve();
    },
    pause: () => {
      paused = true;
      void running?.worker.pause(true);
    },
    activeCount: () => active,
    stop: async (deadlineMs) => {
      if (running === undefined) return;
      const { worker, connection } = running;
      running = undefined;
      // With Redis away, or a handler that does not end, a clean close would wait for ever; and once it has begun, BullMQ answers a
      // forced one with the same promise.
      await withTimeout(worker.close(), deadlineMs).catch((error: unknown) => {
        options.log.warn({ err: error, queue: options.queue }, 'consumer did not close in time');
      });
      // BullMQ leaves a connection that it was handed to its owner.
      connection.disconnect();
    },
  };
}

async function handled(options: JobConsumerOptions, job: Job<JobRef>): Promise<DeliveryOutcome> {
  const ref = readRef(job.data);
  if (ref === undefined) {
    options.log.warn({ queue: options.queue, job: job.id }, 'a job that is none of ours was dropped');
    return { kind: 'finished' };
  }
  try {
    return await options.handle(ref);
  } catch (error) {
    options.log.error({ err: error, queue: options.queue, job: job.id }, 'delivery failed unexpectedly');
    return { kind: 'later', delayMs: UNEXPECTED_RETRY_MS };
  }
}

// Whoever can write to Redis can put anything into a queue.
function readRef(data: Partial<JobRef> | null | undefined): JobRef | undefined {
  const { id, generation } = data ?? {};
  if (typeof id !== 'string' || !isUuid(id)) return undefined;
  return typeof generation === 'number' && Number.isInteger(generation) && generation >= 0 && generation <= GENERATION_MAX
    ? { id, generation }
    : undefined;
}

async function settle(job: Job<JobRef>, token: string | undefined, outcome: DeliveryOutcome): Promise<void> {
  switch (outcome.kind) {
    case 'finished':
      return;
    case 'retry':
      throw new AttemptFailed(outcome.message, outcome.delayMs);
    case 'failed':
      throw new UnrecoverableError(outcome.message);
    case 'later':
      await job.moveToDelayed(Date.now() + outcome.delayMs, token);
      throw new DelayedError();
  }
}
