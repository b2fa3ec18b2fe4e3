// The peer of a batch of flows: BullMQ addBulk, 1,000 jobs a call, no worker.
// Usage: node add-bulk.ts <jobs> <calls in flight>. Prints {"perSecond": n}.
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { addNoops } from './add-noops.ts';

const [jobCount = 0, inFlight = 0] = process.argv.slice(2).map(Number);
const WARM_UP_JOBS = 5_000;

const queue = new Queue(`bulk-${process.pid}`, {
  connection: new Redis(process.env['REDIS_URL'] ?? '', { maxRetriesPerRequest: 1 }),
  prefix: '{raw}',
});
await addNoops(queue, { jobCount: WARM_UP_JOBS, inFlight });
const startedAt = performance.now();
await addNoops(queue, { jobCount, inFlight });
const perSecond = jobCount / ((performance.now() - startedAt) / 1_000);
await queue.obliterate({ force: true });
process.stdout.write(`${JSON.stringify({ perSecond })}\n`);
