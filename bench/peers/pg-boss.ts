// The peer pg-boss: no-op jobs that are already in its table, fetched and completed in batches. Any number of these processes may share one
// database. Usage: node pg-boss.ts <jobs to add> <work | loop> <how many of these> <batch size>
// `work`: its own way, in so many workers, each of which pauses between two batches, for at least half a second (the shortest interval it
// takes). `loop`: its fetch and complete called back to back, in so many loops.
import PgBoss from 'pg-boss';
import { announceReady } from './announce-ready.ts';

const [jobs, mode, count, size] = process.argv.slice(2);
const [jobCount, width, batchSize] = [Number(jobs), Number(count), Number(size)];
const ADD_AT_ONCE = 5_000;
const SHORTEST_POLLING_SECONDS = 0.5;
const QUEUE = 'noop';

const boss = new PgBoss({ connectionString: process.env['DATABASE_URL'] ?? '', max: width + 2, supervise: false, schedule: false });
boss.on('error', (error) => {
  throw error;
});
await boss.start();
await boss.createQueue(QUEUE);
for (let added = 0; added < jobCount; added += ADD_AT_ONCE)
  await boss.insert(
    Array.from({ length: Math.min(ADD_AT_ONCE, jobCount - added) }, (_, index) => ({
      name: QUEUE,
      data: { id: added + index },
      retryLimit: 3,
      retryDelay: 60,
      retryBackoff: true,
    })),
  );
await announceReady();
process.on('SIGTERM', () => process.exit(0));
await Promise.all(Array.from({ length: width }, mode === 'work' ? work : fetchAndComplete));

async function work(): Promise<void> {
  await boss.work(QUEUE, { batchSize, pollingIntervalSeconds: SHORTEST_POLLING_SECONDS, priority: false }, () => Promise.resolve());
}

async function fetchAndComplete(): Promise<void> {
  for (;;) {
    const jobs = await boss.fetch(QUEUE, { batchSize, priority: false });
    if (jobs.length === 0) return;
    await boss.complete(
      QUEUE,
      jobs.map((job) => job.id),
    );
  }
}
