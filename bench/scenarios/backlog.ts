// What a backlog costs: phases per second while 1,000 to 1,000,000 flows wait, and bytes of Redis for each flow that waits beyond the window.
import { setTimeout as delay } from 'node:timers/promises';
import { freePort, type TestStack } from '@millrace/testing';
import { alone, besidePeer, type Measurement } from '../measure.ts';
import { acceptFlows, serverTimeMs, THROUGHPUT_ENV, withOurStack } from '../our-stack.ts';
import { mean } from '../percentile.ts';
import type { BenchOptions, Scenario } from '../scenario.ts';
import { redisFootprint } from '../redis-footprint.ts';

const CHAIN = { flow: 'selftest.chain', input: {} };
const PHASES_PER_FLOW = 3;
const DEPTHS = { full: { shallow: 1_000, deep: [10_000, 100_000, 1_000_000] }, quick: { shallow: 1_000, deep: [20_000] } };
const WARM_UP_MS = { full: 4_000, quick: 1_500 };
const WINDOW_MS = { full: 15_000, quick: 3_000 };
/** Flat within 15 %. */
const GOAL_RATIO = 0.85;
const FEED_EVERY_MS = 50;
const FEED_LEAST = 100;
/** More than the window of 2,000 jobs, and what may slip in before the API knows that it is full. */
const FILL_FLOWS = 10_000;
const WAITING_FLOWS = { full: 100_000, quick: 10_000 };
const GOAL_BYTES = 0;

export const backlog: Scenario = {
  name: 'backlog',
  about: 'phases per second with 1,000 to 1,000,000 flows waiting, and Redis bytes for each that waits',
  run,
};

async function run(options: BenchOptions): Promise<Measurement[]> {
  const { shallow, deep } = options.quick ? DEPTHS.quick : DEPTHS.full;
  const before = await rateAtDepth(options, shallow);
  const rates: { depth: number; rate: number }[] = [];
  for (const depth of deep) rates.push({ depth, rate: await rateAtDepth(options, depth) });
  const peer = mean([before, await rateAtDepth(options, shallow)]);
  return [
    ...rates.map(({ depth, rate }) =>
      besidePeer({
        scenario: 'backlog',
        metric: `durable phases while ${depth.toLocaleString('en')} flows wait, 1 worker process`,
        unit: 'phases/s',
        ours: rate,
        peer,
        peerName: `ours, ${shallow.toLocaleString('en')} waiting`,
        goal: GOAL_RATIO,
      }),
    ),
    ...(await bytesPerWaitingFlow(options)),
  ];
}

/**
 * Fills the backlog while no worker runs, then lets one work on it for a fixed time. As many flows as it completes are started anew, at every
 * depth alike, so that the depth stays what it is.
 */
async function rateAtDepth(options: BenchOptions, depth: number): Promise<number> {
  const warmUpMs = options.quick ? WARM_UP_MS.quick : WARM_UP_MS.full;
  const windowMs = options.quick ? WINDOW_MS.quick : WINDOW_MS.full;
  return withOurStack(options, { workers: 0, env: THROUGHPUT_ENV }, async (stack) => {
    await acceptFlows(stack.client, { ...CHAIN, count: depth });
    await settle(stack);
    const metricsPort = await freePort();
    const worker = await stack.startWorker({ MILLRACE_METRICS_PORT: String(metricsPort) });
    const feeder = feedAsCompleted(stack, metricsPort);
    await feeder.during(warmUpMs);
    const fromMs = await serverTimeMs(stack);
    await feeder.during(windowMs);
    if (feeder.fedCount() === 0) throw new Error('the worker counted no completed phases, so the depth was not kept');
    const toMs = await serverTimeMs(stack);
    await worker.stop();
    const rate = (await phasesBetween(stack, fromMs, toMs)) / ((toMs - fromMs) / 1_000);
    options.say(`${depth.toLocaleString('en')} waiting: ${Math.round(rate)} phases/s`);
    return rate;
  });
}

// What a large load leaves to be done later is done before the clock runs, at every depth alike.
async function settle(stack: TestStack): Promise<void> {
  await stack.database.database.long.query('VACUUM (ANALYZE) millrace.flows, millrace.phases, millrace.event_log');
  await stack.database.database.long.query('CHECKPOINT');
}

function feedAsCompleted(stack: TestStack, metricsPort: number) {
  let fed = 0;
  return {
    fedCount: () => fed,
    during: async (durationMs: number) => {
      const endAt = performance.now() + durationMs;
      while (performance.now() < endAt) {
        const count = Math.floor((await completedPhases(metricsPort)) / PHASES_PER_FLOW) - fed;
        if (count >= FEED_LEAST) {
          await acceptFlows(stack.client, { ...CHAIN, count });
          fed += count;
        }
        await delay(FEED_EVERY_MS);
      }
    },
  };
}

// The worker's own count: asking PostgreSQL how many are completed would take the longer the more there are.
async function completedPhases(metricsPort: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const ends = [...text.matchAll(/^millrace_phase_attempts_total\{(?<labels>[^}]*)\} (?<count>\d+)/gm)].map(({ groups }) => groups ?? {});
  return ends
    .filter(({ labels = '' }) => labels.includes('outcome="completed"') && labels.includes('committed="true"'))
    .reduce((sum, { count }) => sum + Number(count), 0);
}

async function phasesBetween(stack: TestStack, fromMs: number, toMs: number): Promise<number> {
  const result = await stack.database.database.long.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM millrace.phases WHERE status = 'completed'
       AND finished_at >= to_timestamp($1::float8 / 1000) AND finished_at < to_timestamp($2::float8 / 1000)`,
    [fromMs, toMs],
  );
  return result.rows[0]?.count ?? 0;
}

async function bytesPerWaitingFlow(options: BenchOptions): Promise<Measurement[]> {
  const waiting = options.quick ? WAITING_FLOWS.quick : WAITING_FLOWS.full;
  return withOurStack(options, { workers: 0 }, async (stack) => {
    await acceptFlows(stack.client, { ...CHAIN, count: FILL_FLOWS });
    const footprint = () => redisFootprint({ url: options.redisUrl, prefix: stack.env['MILLRACE_REDIS_PREFIX'] ?? '' });
    // Looking costs Redis some memory of its own, the first time.
    await footprint();
    const before = await footprint();
    await acceptFlows(stack.client, { ...CHAIN, count: waiting });
    const after = await footprint();
    options.say(`Redis keys of ours: ${before.keys}, then ${after.keys}; bytes in them: ${before.keyBytes}, then ${after.keyBytes}`);
    const figure = (what: string, bytesPerFlow: number) =>
      alone({
        scenario: 'backlog',
        metric: `Redis per flow that waits beyond the window, ${what}`,
        unit: 'bytes',
        ours: bytesPerFlow,
        goal: GOAL_BYTES,
      });
    return [
      figure('size of our keys', (after.keyBytes - before.keyBytes) / waiting),
      // The server's account of itself is not exact to the byte; whatever is kept of a flow takes more than one.
      figure('used_memory_dataset', Math.round((after.datasetBytes - before.datasetBytes) / waiting)),
    ];
  });
}
