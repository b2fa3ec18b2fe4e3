// The same three steps by hand: Express, BullMQ, one UPDATE and one PUBLISH per step. Fed by batches over REST, as we are, and timed as we
// are: from the first request to the end of the last step.
import { setTimeout as delay } from 'node:timers/promises';
import { createTestDatabase, freePort } from '@millrace/testing';
import { startReady, type PeerProcess } from '../run-peer.ts';
import type { BenchOptions } from '../scenario.ts';
import { letGo, type DoneCounts } from '../work-rate.ts';
import { always, type CreateRival, type RivalLoad } from './rival.ts';

const STEPS_PER_RUN = 3;
const RUNS = { full: 12_000, quick: 1_000 };
const WARM_UP_RUNS = { full: 5_000, quick: 1_000 };
const BATCH_RUNS = 1_000;
const POLL_MS = 5;
/** For all runs of a measurement, on a machine however slow. */
const OPEN_MS_MAX = 300_000;
/** Concurrency, and connections to PostgreSQL, of each worker process. */
const SETTINGS = [
  [50, 20],
  [100, 20],
  [200, 20],
  [200, 40],
] as const;

export const handMade: CreateRival = (options) => ({
  name: 'hand-made flow',
  goal: 2,
  processesMax: 3,
  missing: always,
  settings: SETTINGS.map(([concurrency, connections]) => ({
    label: `concurrency ${concurrency}, ${connections} connections`,
    rate: (load) => stepsPerSecond(options, { ...load, concurrency, connections }),
  })),
});

type Setting = RivalLoad & { concurrency: number; connections: number };

async function stepsPerSecond({ databaseUrl, redisUrl }: BenchOptions, setting: Setting): Promise<number> {
  const database = await createTestDatabase(databaseUrl);
  const port = await freePort();
  const queue = `runs-${port}`;
  const env = { DATABASE_URL: database.url, REDIS_URL: redisUrl };
  const programs: PeerProcess[] = [];
  try {
    await startReady({ file: 'hand-made/api.ts', args: [port, queue], env }, programs);
    for (let index = 0; index < setting.processes; index += 1)
      await startReady({ file: 'hand-made/worker.ts', args: [queue, setting.concurrency, setting.connections], env }, programs);
    const done = letGo(programs.slice(1));
    const runCount = setting.quick ? RUNS.quick : RUNS.full;
    await carryOut({ port, runCount: setting.quick ? WARM_UP_RUNS.quick : WARM_UP_RUNS.full, done });
    const startedAt = performance.now();
    await carryOut({ port, runCount, done });
    return (runCount * STEPS_PER_RUN) / ((performance.now() - startedAt) / 1_000);
  } finally {
    // Workers first: the API takes the queue away when it stops.
    for (const program of programs.toReversed()) await program.stop();
    await database.drop();
  }
}

async function carryOut({ port, runCount, done }: { port: number; runCount: number; done: DoneCounts }): Promise<void> {
  const before = done.total();
  const body = JSON.stringify(Array.from({ length: BATCH_RUNS }, () => ({})));
  for (let sent = 0; sent < runCount; sent += BATCH_RUNS) {
    const answer = await fetch(`http://127.0.0.1:${port}/runs/batch`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    const text = await answer.text();
    if (answer.status !== 202) throw new Error(`the hand-made API answered ${answer.status}: ${text}`);
  }
  const giveUpAt = performance.now() + OPEN_MS_MAX;
  while (done.total() < before + runCount) {
    if (performance.now() > giveUpAt) throw new Error(`the hand-made flow is stuck at ${done.total() - before} of ${runCount} runs`);
    await delay(POLL_MS);
  }
}
