// Durable phases per second: `selftest.chain` flows, three phases each, from the first REST request to the last commit, with one, two and
// three worker processes, beside what else carries out jobs or steps. The machine's speed drifts: peers run before and after us.
import { acceptFlows, allCompleted, serverTimeMs, THROUGHPUT_ENV, withOurStack } from '../our-stack.ts';
import { besidePeer, type Measurement } from '../measure.ts';
import { celery, sidekiq } from '../rivals/debian-queues.ts';
import { handMade } from '../rivals/hand-made.ts';
import { graphileWorker, graphileWorkerBatched, pgBoss, pgBossLoops } from '../rivals/postgres-queues.ts';
import { rawBullmq } from '../rivals/raw-bullmq.ts';
import { rivalRates, type RivalRates } from '../rivals/rival-rates.ts';
import type { Rival } from '../rivals/rival.ts';
import type { BenchOptions, Scenario } from '../scenario.ts';

const PHASES_PER_FLOW = 3;
const WARM_UP_FLOWS = { full: 5_000, quick: 1_000 };
const FLOWS = { full: 20_000, quick: 1_000 };
const WORKER_COUNTS = [1, 2, 3];
const RIVALS = [rawBullmq, handMade, graphileWorker, graphileWorkerBatched, pgBoss, pgBossLoops, celery, sidekiq];

export const phases: Scenario = {
  name: 'phases',
  about: 'durable phases per second beside raw BullMQ, a hand-made flow, graphile-worker, pg-boss, Celery and Sidekiq',
  run,
};

async function run(options: BenchOptions): Promise<Measurement[]> {
  const rivals = RIVALS.map((create) => create(options));
  const found: { rival: Rival; rates: RivalRates }[] = [];
  if (options.peers)
    for (const rival of rivals) found.push({ rival, rates: await rivalRates(rival, { options, processCounts: WORKER_COUNTS }) });
  const ours = new Map<number, number>();
  for (const workers of WORKER_COUNTS) ours.set(workers, await phasesPerSecond(options, workers));
  for (const { rates } of found) await rates.again();
  return WORKER_COUNTS.flatMap((workers) =>
    rivals.map((rival) =>
      besidePeer({
        scenario: 'phases',
        metric: `durable phases, ${workers} worker process${workers === 1 ? '' : 'es'}`,
        unit: 'phases/s',
        ours: ours.get(workers) ?? 0,
        peer: found.find((entry) => entry.rival === rival)?.rates.upTo(workers) ?? null,
        peerName: rival.name,
        goal: rival.goal,
      }),
    ),
  );
}

async function phasesPerSecond(options: BenchOptions, workers: number): Promise<number> {
  const flows = { flow: 'selftest.chain', input: {}, count: options.quick ? FLOWS.quick : FLOWS.full };
  return withOurStack(options, { workers, env: THROUGHPUT_ENV }, async (stack) => {
    await acceptFlows(stack.client, { ...flows, count: options.quick ? WARM_UP_FLOWS.quick : WARM_UP_FLOWS.full });
    await allCompleted(stack);
    const startedAtMs = await serverTimeMs(stack);
    await acceptFlows(stack.client, flows);
    await allCompleted(stack);
    const ended = await stack.database.database.main.query<{ phases: number; atMs: number }>(
      `SELECT count(*)::int AS phases, extract(epoch FROM max(finished_at))::float8 * 1000 AS "atMs"
       FROM millrace.phases WHERE status = 'completed' AND finished_at > to_timestamp($1::float8 / 1000)`,
      [startedAtMs],
    );
    const { phases: phaseCount = 0, atMs = 0 } = ended.rows[0] ?? {};
    if (phaseCount !== flows.count * PHASES_PER_FLOW) throw new Error(`${phaseCount} of ${flows.count * PHASES_PER_FLOW} phases completed`);
    const perSecond = phaseCount / ((atMs - startedAtMs) / 1_000);
    options.say(`ours, ${workers} worker process${workers === 1 ? '' : 'es'}: ${Math.round(perSecond)} phases/s`);
    return perSecond;
  });
}
