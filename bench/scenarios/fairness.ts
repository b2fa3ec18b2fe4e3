// Fairness between workspaces: A has 10,000 flows queued when B comes with 10. How long B's wait, beside how long a flow of either takes to run.
import { createRestClient, type TestStack } from '@millrace/testing';
import { besidePeer, type Measurement } from '../measure.ts';
import { acceptFlows, allCompleted, withOurStack } from '../our-stack.ts';
import { mean, percentile } from '../percentile.ts';
import type { BenchOptions, Scenario } from '../scenario.ts';

const FLOW = { flow: 'selftest.sleep', input: { ms: 50 } };
const A_FLOWS = { full: 10_000, quick: 3_000 };
const B_FLOWS = 10;
/** A percentile of ten values says little, so it is done several times over, each time from empty. */
const ROUNDS = { full: 5, quick: 1 };
const GOAL_RATIO = 3;

export const fairness: Scenario = { name: 'fairness', about: 'workspace A queues 10,000 flows, then B 10: how long B waits', run };

async function run(options: BenchOptions): Promise<Measurement[]> {
  return withOurStack(options, { workers: 1 }, async (stack) => {
    const [a, b] = [await clientOf(stack, 'bench_a'), await clientOf(stack, 'bench_b')];
    const queued = options.quick ? A_FLOWS.quick : A_FLOWS.full;
    for (let round = 0; round < (options.quick ? ROUNDS.quick : ROUNDS.full); round += 1) {
      await acceptFlows(a, { ...FLOW, count: queued });
      await acceptFlows(b, { ...FLOW, count: B_FLOWS });
      await allCompleted(stack);
    }
    const times = await phaseTimes(stack);
    const waits = times.filter(({ workspace }) => workspace === 'bench_b').map(({ waitMs }) => waitMs);
    const serviceMs = mean(times.map((time) => time.serviceMs));
    options.say(`B waited ${mean(waits).toFixed(0)} ms on average, at most ${Math.max(...waits).toFixed(0)} ms`);
    return [
      besidePeer({
        scenario: 'fairness',
        metric: `p95 wait of ${B_FLOWS} flows behind ${queued.toLocaleString('en')} of another workspace`,
        unit: 'ms',
        ours: percentile(waits, 0.95),
        peer: serviceMs,
        peerName: 'mean service time',
        goal: GOAL_RATIO,
        higherIsBetter: false,
      }),
    ];
  });
}

async function clientOf(stack: TestStack, workspace: string) {
  const made = await stack.client.post<{ key: string }>('/v1/keys', { name: 'bench', role: 'operator', workspace, requestsPerMinute: 0 });
  if (made.status !== 201) throw new Error(`the key was answered with ${made.status}: ${JSON.stringify(made.body)}`);
  return createRestClient({ baseUrl: stack.client.baseUrl, key: made.body.key });
}

// From accepted to started, and from started to committed.
async function phaseTimes(stack: TestStack): Promise<{ workspace: string; waitMs: number; serviceMs: number }[]> {
  const result = await stack.database.database.main.query<{ workspace: string; waitMs: number; serviceMs: number }>(
    `SELECT p.workspace, extract(epoch FROM p.started_at - f.created_at)::float8 * 1000 AS "waitMs",
            extract(epoch FROM p.finished_at - p.started_at)::float8 * 1000 AS "serviceMs"
     FROM millrace.phases p JOIN millrace.flows f ON f.id = p.flow_id`,
  );
  return result.rows;
}
