// The peer that does nothing but move jobs: BullMQ working off no-op jobs that are already in the queue, in a process of its own.
// Usage: node raw-bullmq.ts <jobs> <concurrency>
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { addNoops } from './add-noops.ts';
import { announceReady } from './announce-ready.ts';
import { createDoneCounter } from './count-done.ts';

const [jobCount = 0, concurrency = 0] = process.argv.slice(2).map(Number);
const connection = new Redis(process.env['REDIS_URL'] ?? '', { maxRetriesPerRequest: null });
const queue = new Queue(`raw-${process.pid}`, { connection, prefix: '{raw}' });
await addNoops(queue, { jobCount, inFlight: 1 });
await announceReady();
const done = createDoneCounter();
const worker = new Worker(
  queue.name,
  () => {
    done.add(1);
    return Promise.resolve();
  },
  { connection: connection.duplicate(), prefix: '{raw}', concurrency },
);
process.on('SIGTERM', () => {
  void worker
    .close()
    .then(() => queue.obliterate({ force: true }))
    .then(() => process.exit(0));
});
