// Durable phases per second: `selftest.chain` flows, three phases each, from the first REST request to the last commit.
import { setTimeout as delay } from 'node:timers/promises';
import { createTestStack, type TestStack } from '@millrace/testing';
import { measurement, type Measurement } from '../measure.ts';
import { runPeer } from '../run-peer.ts';
import type { BenchOptions, Scenario } from '../scenario.ts';

const PHASES_PER_FLOW = 3;
const BATCH_FLOWS = 1_000;
const RAW_CONCURRENCIES = [50, 100, 200, 300];
/** The first is the least that the shape of the engine must reach, the goal of this project is 0.5. */
const GOAL_RATIO = 0.5;

export const phases: Scenario = { name: 'phases', about: 'durable phases per second beside raw BullMQ', run };

async function run(options: BenchOptions): Promise<Measurement[]> {
  const flowCount = options.quick ? 1_000 : 15_000;
  const raw = options.peers ? await bestRaw(options, options.quick ? 3_000 : 30_000) : null;
  const ours = await durablePhases(options, flowCount);
  const rawAfter = options.peers ? await bestRaw(options, options.quick ? 3_000 : 30_000) : null;
  // The machine's speed drifts: the peer runs before and after us, and its mean counts.
  const peer = raw === null || rawAfter === null ? null : (raw + rawAfter) / 2;
  return [
    measurement({
      scenario: 'phases',
      metric: 'durable phases, REST in to last commit',
      unit: 'phases/s',
      ours,
      peer,
      peerName: 'raw BullMQ',
      goal: GOAL_RATIO,
    }),
  ];
}

async function bestRaw({ redisUrl, say }: BenchOptions, jobCount: number): Promise<number> {
  let best = 0;
  for (const concurrency of RAW_CONCURRENCIES) {
    const peer = await runPeer('raw-bullmq.ts', [String(jobCount), String(concurrency)], { REDIS_URL: redisUrl });
    const perSecond = Number(peer.firstLine['perSecond']);
    say(`raw BullMQ, concurrency ${concurrency}: ${Math.round(perSecond)} jobs/s`);
    best = Math.max(best, perSecond);
  }
  return best;
}

async function durablePhases(options: BenchOptions, flowCount: number): Promise<number> {
  const stack = await createTestStack({ servers: options, env: { MILLRACE_LOG_LEVEL: 'info', MILLRACE_FLOW_CONCURRENCY: '300' } });
  try {
    await stack.startApi();
    await stack.startWorker();
    await chainFlows(stack, BATCH_FLOWS);
    const startedAt = performance.now();
    await chainFlows(stack, flowCount);
    const perSecond = (flowCount * PHASES_PER_FLOW) / ((performance.now() - startedAt) / 1_000);
    options.say(`ours, ${flowCount} flows: ${Math.round(perSecond)} phases/s`);
    return perSecond;
  } finally {
    await stack.close();
  }
}

async function chainFlows(stack: TestStack, flowCount: number): Promise<void> {
  const before = await completedCount(stack);
  for (let sent = 0; sent < flowCount; sent += BATCH_FLOWS) {
    const lines = Array.from({ length: Math.min(BATCH_FLOWS, flowCount - sent) }, () => '{"flow":"selftest.chain","input":{}}').join('\n');
    const answer = await stack.client.send('/v1/flows/batch', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: lines,
    });
    if (answer.status !== 202) throw new Error(`the batch was answered with ${answer.status}: ${JSON.stringify(answer.body)}`);
  }
  while ((await openCount(stack)) > 0) await delay(20);
  const made = (await completedCount(stack)) - before;
  if (made !== flowCount) throw new Error(`${made} of ${flowCount} flows completed`);
}

// Small while the backlog is: an index holds just the flows that have not completed.
async function openCount(stack: TestStack): Promise<number> {
  const result = await stack.database.database.main.query<{ open: boolean }>(
    "SELECT EXISTS (SELECT FROM millrace.flows WHERE workspace = 'default' AND status NOT IN ('completed')) AS open",
  );
  return result.rows[0]?.open === true ? 1 : 0;
}

async function completedCount(stack: TestStack): Promise<number> {
  const result = await stack.database.database.main.query<{ count: number }>(
    "SELECT count(*)::int AS count FROM millrace.flows WHERE status = 'completed'",
  );
  return result.rows[0]?.count ?? 0;
}
