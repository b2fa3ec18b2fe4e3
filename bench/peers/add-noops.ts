// Adds no-op jobs to a BullMQ queue by addBulk, 1,000 at a time, with the retries that a phase of ours has.
import type { Queue } from 'bullmq';

const ADD_AT_ONCE = 1_000;
const OPTIONS = { attempts: 4, backoff: { type: 'exponential', delay: 60_000 }, removeOnComplete: true };

/** @param load.inFlight how many calls of addBulk may be under way at a time */
export async function addNoops(queue: Queue, { jobCount, inFlight }: { jobCount: number; inFlight: number }): Promise<void> {
  let added = 0;
  const addInTurn = async () => {
    while (added < jobCount) {
      const first = added;
      added = Math.min(jobCount, added + ADD_AT_ONCE);
      await queue.addBulk(
        Array.from({ length: added - first }, (_, index) => ({ name: 'noop', data: { id: `${first + index}` }, opts: OPTIONS })),
      );
    }
  };
  await Promise.all(Array.from({ length: inFlight }, addInTurn));
}
