// The hand-made flow's worker, as a developer writes it: each step does nothing, is recorded by one UPDATE of its run's row, told to
// whoever watches by one PUBLISH, and followed by the job of the next step.
// Usage: node worker.ts <queue> <concurrency> <PostgreSQL connections>
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';
import { announceReady } from '../announce-ready.ts';
import { createDoneCounter } from '../count-done.ts';
import { JOB_OPTIONS, QUEUE_PREFIX, STEPS, type StepJob } from './run-steps.ts';

const [queueName = '', concurrency, connections] = process.argv.slice(2);
const redisUrl = process.env['REDIS_URL'] ?? '';
const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'], max: Number(connections) });
const publisher = new Redis(redisUrl);
const queue = new Queue<StepJob>(queueName, { connection: new Redis(redisUrl, { maxRetriesPerRequest: 1 }), prefix: QUEUE_PREFIX });

await announceReady();
const done = createDoneCounter();
const worker = new Worker<StepJob>(
  queueName,
  async ({ data: { runId, step } }) => {
    const isLast = step === STEPS.length - 1;
    const status = isLast ? 'completed' : 'running';
    await pool.query({
      name: 'record-step',
      text: 'UPDATE runs SET status = $2, step = $3, updated_at = now() WHERE id = $1',
      values: [runId, status, STEPS[step]],
    });
    const next = STEPS[step + 1];
    await Promise.all([
      publisher.publish(`run:${runId}`, JSON.stringify({ runId, step: STEPS[step], status })),
      next === undefined ? null : queue.add(next, { runId, step: step + 1 }, JOB_OPTIONS),
    ]);
    if (isLast) done.add(1);
  },
  { connection: new Redis(redisUrl, { maxRetriesPerRequest: null }), prefix: QUEUE_PREFIX, concurrency: Number(concurrency) },
);
process.on('SIGTERM', () => {
  void worker.close().then(() => process.exit(0));
});
