// The peer graphile-worker: no-op jobs that are already in its table. Any number of these processes may share one database.
// Usage: node graphile-worker.ts <jobs to add> <concurrent jobs> <size of the local queue>
// With a local queue it locks that many jobs at a time and completes them in batches, as its guide to performance advises; -1: one by one.
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import { announceReady } from './announce-ready.ts';

const [jobCount = 0, concurrentJobs = 0, size = 0] = process.argv.slice(2).map(Number);
const ADD_AT_ONCE = 5_000;
const connectionString = process.env['DATABASE_URL'] ?? '';
const logger = new Logger(() => () => undefined);
const inBatches = size > 0 ? { localQueue: { size }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } : {};

const utils = await makeWorkerUtils({ connectionString, logger });
await utils.migrate();
for (let added = 0; added < jobCount; added += ADD_AT_ONCE)
  await utils.addJobs(
    Array.from({ length: Math.min(ADD_AT_ONCE, jobCount - added) }, (_, index) => ({
      identifier: 'noop',
      payload: { id: added + index },
      maxAttempts: 4,
    })),
  );
await utils.release();
await announceReady();
await run({
  preset: {
    worker: { connectionString, concurrentJobs, maxPoolSize: Math.max(10, Math.min(26, concurrentJobs + 2)), logger, ...inBatches },
  },
  noHandleSignals: true,
  taskList: { noop: () => undefined },
});
process.on('SIGTERM', () => process.exit(0));
