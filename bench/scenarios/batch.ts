// Batch start: POST /v1/flows/batch with 1,000 lines of NDJSON, beside BullMQ's addBulk of 1,000 jobs. No worker runs. Both sides with one,
// two and four calls under way at a time; the best counts.
import { besidePeer, type Measurement } from '../measure.ts';
import { batchOf, sendBatch, withOurStack } from '../our-stack.ts';
import { mean } from '../percentile.ts';
import { peerAnswer } from '../run-peer.ts';
import type { BenchOptions, Scenario } from '../scenario.ts';

const PER_CALL = 1_000;
const WARM_UP_CALLS = 5;
const CALLS = { full: 60, quick: 10 };
const IN_FLIGHT = [1, 2, 4];
const GOAL_RATIO = 0.5;

export const batch: Scenario = { name: 'batch', about: 'POST /v1/flows/batch of 1,000 lines beside BullMQ addBulk of 1,000 jobs', run };

async function run(options: BenchOptions): Promise<Measurement[]> {
  const calls = options.quick ? CALLS.quick : CALLS.full;
  const before = options.peers ? await bestOf((inFlight) => addBulkRate(options, { calls, inFlight })) : null;
  const ours = await bestOf((inFlight) => ourRate(options, { calls, inFlight }));
  const after = options.peers ? await bestOf((inFlight) => addBulkRate(options, { calls, inFlight })) : null;
  return [
    besidePeer({
      scenario: 'batch',
      metric: 'flows started by batches of 1,000',
      unit: 'flows/s',
      ours,
      peer: before === null || after === null ? null : mean([before, after]),
      peerName: 'BullMQ addBulk',
      goal: GOAL_RATIO,
    }),
  ];
}

type Load = { calls: number; inFlight: number };

async function bestOf(rate: (inFlight: number) => Promise<number>): Promise<number> {
  const rates: number[] = [];
  for (const inFlight of IN_FLIGHT) rates.push(await rate(inFlight));
  return Math.max(...rates);
}

async function addBulkRate({ redisUrl, say }: BenchOptions, { calls, inFlight }: Load): Promise<number> {
  const answer = await peerAnswer({ file: 'add-bulk.ts', args: [calls * PER_CALL, inFlight], env: { REDIS_URL: redisUrl } });
  const rate = Number(answer['perSecond']);
  say(`addBulk, ${inFlight} at a time: ${Math.round(rate)} jobs/s`);
  return rate;
}

async function ourRate(options: BenchOptions, { calls, inFlight }: Load): Promise<number> {
  return withOurStack(options, { workers: 0 }, async (stack) => {
    const body = batchOf('{"flow":"selftest.noop","input":{}}', PER_CALL);
    const send = async (count: number) => {
      let left = count;
      const sendInTurn = async () => {
        while (left > 0) {
          left -= 1;
          await sendBatch(stack.client, body);
        }
      };
      await Promise.all(Array.from({ length: inFlight }, sendInTurn));
    };
    await send(WARM_UP_CALLS);
    const startedAt = performance.now();
    await send(calls);
    const rate = (calls * PER_CALL) / ((performance.now() - startedAt) / 1_000);
    const kept = await stack.database.database.main.query<{ count: number }>('SELECT count(*)::int AS count FROM millrace.flows');
    if (kept.rows[0]?.count !== (WARM_UP_CALLS + calls) * PER_CALL) throw new Error(`${kept.rows[0]?.count ?? 0} flows are there`);
    options.say(`ours, ${inFlight} at a time: ${Math.round(rate)} flows/s`);
    return rate;
  });
}
