// Phases that this worker runs without a job in the queue, because the queue might hand them to a worker that lacks their code.
import type { Logger } from '@millrace/process';
import type { JobRef } from '@millrace/shared';

export type DirectDeliveries = {
  /** How many more may be run now. */
  room(): number;
  run(jobs: readonly JobRef[]): void;
  activeCount(): number;
  /** From now on there is no room. */
  close(): void;
};

export type DirectDeliveriesDeps = {
  /** Phases this worker runs at a time, with those from the queue. */
  concurrency: number;
  /** Deliveries from the queue that are being worked on. */
  queuedCount(): number;
  deliver(job: JobRef): Promise<unknown>;
  log: Logger;
};

/** The queue fills every place that becomes free, so that without some of their own these would wait for ever. */
const OWN_SHARE = 0.1;

export function createDirectDeliveries({ concurrency, queuedCount, deliver, log }: DirectDeliveriesDeps): DirectDeliveries {
  const own = Math.max(1, Math.floor(concurrency * OWN_SHARE));
  let active = 0;
  let isClosed = false;
  const run = async (job: JobRef) => {
    active += 1;
    try {
      await deliver(job);
    } catch (error) {
      // It is found as a job that is missing from the queue.
      log.error({ err: error, phaseId: job.id }, 'a phase could not be run directly');
    } finally {
      active -= 1;
    }
  };
  return {
    room: () => (isClosed ? 0 : Math.max(0, own - active, concurrency - queuedCount() - active)),
    run: (jobs) => {
      for (const job of jobs) void run(job);
    },
    activeCount: () => active,
    close: () => {
      isClosed = true;
    },
  };
}
