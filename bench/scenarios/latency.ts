// Latency of an idle system, API, worker and client on one machine and so by one clock: from POST to the start of the handler, and from the
// commit of an event to the client that watches.
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { flowEnded, startFlow, type TestStack } from '@millrace/testing';
import { alone, type Measurement } from '../measure.ts';
import { withOurStack } from '../our-stack.ts';
import { percentile } from '../percentile.ts';
import type { BenchOptions, Scenario } from '../scenario.ts';

const FLOWS = fileURLToPath(new URL('../flows', import.meta.url));
const STARTS = { full: 1_000, quick: 100 };
const BEATS = { full: 500, quick: 60 };
const WARM_UP = 30;
/** Long enough for what a flow set off to be over, as a rule. Varied, so that nothing falls into step with a timer of ours. */
const PAUSE_MS = { least: 20, most: 40 };
const GOAL_MS = { startP50: 5, startP99: 20, eventP99: 15 };

export const latency: Scenario = { name: 'latency', about: 'idle: POST to handler start, commit to SSE client', run };

async function run(options: BenchOptions): Promise<Measurement[]> {
  return withOurStack(options, { workers: 1, env: { MILLRACE_FLOWS: FLOWS } }, async (stack) => {
    const starts = await startLatencies(stack, options.quick ? STARTS.quick : STARTS.full);
    const events = await eventLatencies(stack, options.quick ? BEATS.quick : BEATS.full);
    options.say(`${starts.length} starts, at most ${Math.max(...starts).toFixed(1)} ms`);
    options.say(`${events.length} events, at most ${Math.max(...events).toFixed(1)} ms`);
    const figure = (metric: string, ours: number, goal: number | null) => alone({ scenario: 'latency', metric, unit: 'ms', ours, goal });
    return [
      figure('POST to handler start, p50', percentile(starts, 0.5), GOAL_MS.startP50),
      figure('POST to handler start, p99', percentile(starts, 0.99), GOAL_MS.startP99),
      figure('commit to SSE client, p50', percentile(events, 0.5), null),
      figure('commit to SSE client, p99', percentile(events, 0.99), GOAL_MS.eventP99),
    ];
  });
}

const nowMs = () => performance.timeOrigin + performance.now();

async function startLatencies(stack: TestStack, count: number): Promise<number[]> {
  const found: number[] = [];
  for (let index = 0; index < WARM_UP + count; index += 1) {
    const sentAtMs = nowMs();
    const id = await startFlow(stack.client, 'bench.handler-start');
    // It is over by the time anybody asks: a look at it meanwhile would be in its way.
    await delay(PAUSE_MS.least + Math.random() * (PAUSE_MS.most - PAUSE_MS.least));
    const flow = await flowEnded(stack.client, id);
    const { startedAtMs } = flow.outputs['only'] as { startedAtMs: number };
    if (index >= WARM_UP) found.push(startedAtMs - sentAtMs);
  }
  return found;
}

// The time of an event is taken in PostgreSQL just before its commit, so the commit itself is part of the figure.
async function eventLatencies(stack: TestStack, beats: number): Promise<number[]> {
  const id = await startFlow(stack.client, 'bench.beat', { phases: WARM_UP + beats, pauseMs: PAUSE_MS.most });
  const receivedAtMs = new Map<number, number>();
  for await (const event of stack.client.events(`/v1/flows/${id}/events?until=end`)) {
    const seq = Number(event.id?.split('.')[1]);
    if (Number.isInteger(seq)) receivedAtMs.set(seq, nowMs());
  }
  const events = await stack.database.database.main.query<{ seq: number; atMs: number }>(
    'SELECT seq, extract(epoch FROM at)::float8 * 1000 AS "atMs" FROM millrace.events WHERE subject_id = $1 ORDER BY seq',
    [id],
  );
  const missed = events.rows.filter(({ seq }) => !receivedAtMs.has(seq));
  if (missed.length > 0) throw new Error(`the client did not get ${missed.length} of ${events.rows.length} events`);
  // The first ones were there before the client was.
  const warmUpEvents = Math.ceil((events.rows.length * WARM_UP) / (WARM_UP + beats));
  return events.rows.slice(warmUpEvents).map(({ seq, atMs }) => (receivedAtMs.get(seq) ?? 0) - atMs);
}
