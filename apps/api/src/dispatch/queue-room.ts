// How many jobs wait in a queue, as well as that is known without asking each time: the last count plus what was sent since.
// Full is noticed at once, room at the next count.
import type { QueueName } from '@millrace/shared';
import type { JobDispatcher } from '@millrace/queue';

export type QueueRoom = {
  /** How many more jobs it may take; none while Redis is away, or while others wait in PostgreSQL. */
  room(): number;
  /** Jobs are on their way into the queue. */
  add(jobCount: number): void;
  /** Counts anew when the last count is older than this; concurrent calls share one count. Does nothing while Redis is away. */
  refresh(olderThanMs: number): Promise<void>;
};

export function createQueueRoom({
  dispatcher,
  queue,
  windowMax,
}: {
  dispatcher: Pick<JobDispatcher, 'waitingCount' | 'hasBacklog' | 'isReady'>;
  queue: QueueName;
  windowMax: number;
}): QueueRoom {
  let waiting = 0;
  let backlog = false;
  let countedAt = Number.NEGATIVE_INFINITY;
  let counting: Promise<void> | undefined;
  const count = async () => {
    [waiting, backlog] = await Promise.all([dispatcher.waitingCount(queue), dispatcher.hasBacklog(queue)]);
    countedAt = performance.now();
  };
  return {
    room: () => (dispatcher.isReady() && !backlog ? Math.max(0, windowMax - waiting) : 0),
    add: (jobCount) => {
      waiting += jobCount;
    },
    refresh: async (olderThanMs) => {
      if (!dispatcher.isReady() || performance.now() - countedAt < olderThanMs) return;
      counting ??= count().finally(() => {
        counting = undefined;
      });
      await counting;
    },
  };
}
