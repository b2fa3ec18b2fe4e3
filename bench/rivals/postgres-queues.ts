// The queues that live in PostgreSQL, graphile-worker and pg-boss: no-op jobs that are in their tables already. Adding is not counted; a
// job counts once its completion is committed. Each is measured in two ways: as it comes, and with all the batching that can be had from it.
import { createTestDatabase } from '@millrace/testing';
import { startReady, type PeerProcess } from '../run-peer.ts';
import type { BenchOptions } from '../scenario.ts';
import { drainRate, letGo } from '../work-rate.ts';
import { always, type CreateRival, type RivalLoad } from './rival.ts';

const GOAL_RATIO = 2.5;
const PROCESSES_MAX = 3;
/** A count of what is left takes some milliseconds of PostgreSQL, so it is not asked for more often. */
const COUNT_EVERY_MS = 50;
const JOBS = { full: 30_000, quick: 3_000 };
/** What works in batches is done with that before it can be measured. */
const BATCHED_JOBS = { full: 60_000, quick: 10_000 };
/** Each fetch of pg-boss sorts all that waits, so a longer queue would make it slower. */
const BOSS_JOBS = { full: 20_000, quick: 10_000 };

/** Jobs at a time. */
const ONE_BY_ONE = [10, 24, 50];
/** Jobs at a time, and size of the local queue. */
const LOCAL_QUEUES = [
  [24, 500],
  [100, 500],
  [100, 2_000],
] as const;
/** Workers or loops, and the size of their batches. */
const WORK = [
  [8, 500],
  [16, 500],
  [8, 2_000],
] as const;
const LOOPS = [
  [1, 500],
  [2, 500],
  [4, 500],
  [2, 2_000],
] as const;

const GRAPHILE = {
  file: 'graphile-worker.ts',
  remaining: 'SELECT count(*)::int AS count FROM graphile_worker._private_jobs',
};
const PG_BOSS = {
  file: 'pg-boss.ts',
  remaining: "SELECT count(*)::int AS count FROM pgboss.job WHERE name = 'noop' AND state < 'completed'",
};

export const graphileWorker: CreateRival = (options) => ({
  ...rival('graphile-worker'),
  settings: ONE_BY_ONE.map((concurrency) => ({
    label: `${concurrency} jobs at a time`,
    rate: (load) => worked(options, { ...load, ...GRAPHILE, jobs: JOBS, args: [concurrency, -1] }),
  })),
});

export const graphileWorkerBatched: CreateRival = (options) => ({
  ...rival('graphile-worker, local queue, completions in batches'),
  settings: LOCAL_QUEUES.map(([concurrency, size]) => ({
    label: `${concurrency} jobs at a time, queue of ${size}`,
    rate: (load) => worked(options, { ...load, ...GRAPHILE, jobs: BATCHED_JOBS, args: [concurrency, size] }),
  })),
});

export const pgBoss: CreateRival = (options) => ({
  ...rival('pg-boss, work()'),
  settings: WORK.map(([workers, batchSize]) => ({
    label: `${workers} workers, batches of ${batchSize}`,
    rate: (load) => worked(options, { ...load, ...PG_BOSS, jobs: BOSS_JOBS, args: ['work', workers, batchSize] }),
  })),
});

export const pgBossLoops: CreateRival = (options) => ({
  ...rival('pg-boss, fetch() and complete() back to back'),
  settings: LOOPS.map(([loops, batchSize]) => ({
    label: `${loops} loops, batches of ${batchSize}`,
    rate: (load) => worked(options, { ...load, ...PG_BOSS, jobs: BOSS_JOBS, args: ['loop', loops, batchSize] }),
  })),
});

function rival(name: string) {
  return { name, goal: GOAL_RATIO, processesMax: PROCESSES_MAX, missing: always };
}

type Work = RivalLoad & {
  file: string;
  jobs: { full: number; quick: number };
  args: readonly (string | number)[];
  /** A statement that counts the jobs whose completion is not committed. */
  remaining: string;
};

// On a database of its own: only the first process adds jobs.
async function worked(options: BenchOptions, { file, jobs, args, processes, quick, remaining }: Work): Promise<number> {
  const jobCount = quick ? jobs.quick : jobs.full;
  const database = await createTestDatabase(options.databaseUrl);
  const peers: PeerProcess[] = [];
  const count = async () => (await database.database.main.query<{ count: number }>(remaining)).rows[0]?.count ?? 0;
  try {
    for (let index = 0; index < processes; index += 1)
      await startReady({ file, args: [index === 0 ? jobCount : 0, ...args], env: { DATABASE_URL: database.url } }, peers);
    letGo(peers);
    return await drainRate(count, { jobCount, pollMs: COUNT_EVERY_MS });
  } finally {
    await Promise.all(peers.map((peer) => peer.stop()));
    await database.drop();
  }
}
