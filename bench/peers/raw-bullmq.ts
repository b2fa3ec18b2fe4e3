// The peer that does nothing but move jobs: BullMQ working off no-op jobs that are already in the queue, in a process of its own.
// Usage: node raw-bullmq.ts <jobs> <concurrency>. Prints {"perSecond": n}.
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';

const [jobCount, concurrency] = process.argv.slice(2).map(Number);
if (jobCount === undefined || concurrency === undefined) throw new Error('usage: raw-bullmq.ts <jobs> <concurrency>');
const connection = new Redis(process.env['REDIS_URL'] ?? '', { maxRetriesPerRequest: null });
const queue = new Queue(`raw-${process.pid}`, { connection, prefix: '{raw}' });
const ADD_AT_ONCE = 1_000;
for (let added = 0; added < jobCount; added += ADD_AT_ONCE) {
  await queue.addBulk(
    Array.from({ length: Math.min(ADD_AT_ONCE, jobCount - added) }, (_, index) => ({
      name: 'noop',
      data: { id: `${added + index}` },
      opts: { attempts: 4, backoff: { type: 'exponential', delay: 60_000 }, removeOnComplete: true },
    })),
  );
}
const finished = Promise.withResolvers<void>();
let done = 0;
const startedAt = performance.now();
const worker = new Worker(
  queue.name,
  () => {
    done += 1;
    if (done === jobCount) finished.resolve();
    return Promise.resolve();
  },
  { connection: connection.duplicate(), prefix: '{raw}', concurrency },
);
await finished.promise;
process.stdout.write(`${JSON.stringify({ perSecond: jobCount / ((performance.now() - startedAt) / 1_000) })}\n`);
await worker.close();
await queue.obliterate({ force: true });
process.exit(0);
