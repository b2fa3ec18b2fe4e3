// Our own side of a benchmark: an API and worker processes, and flows that go in over REST.
import { setTimeout as delay } from 'node:timers/promises';
import { createTestStack, type RestClient, type TestStack } from '@millrace/testing';
import type { BenchOptions } from './scenario.ts';

const BATCH_FLOWS = 1_000;
const POLL_MS = 100;
/** For all that is accepted at a time, on a machine however slow. */
const OPEN_MS_MAX = 300_000;

/** Phases of a worker process that run at the same time, where throughput is measured. The peers choose theirs as well. */
export const THROUGHPUT_ENV = { MILLRACE_FLOW_CONCURRENCY: '1000' };

/** Starts an API and so many workers for the time of `use`. */
export async function withOurStack<T>(
  options: BenchOptions,
  { workers, env = {} }: { workers: number; env?: Record<string, string> },
  use: (stack: TestStack) => Promise<T>,
): Promise<T> {
  const stack = await createTestStack({ servers: options, env, guarded: false });
  try {
    await stack.startApi();
    for (let index = 0; index < workers; index += 1) await stack.startWorker();
    return await use(stack);
  } finally {
    await stack.close();
  }
}

export type Flows = { flow: string; input: unknown; count: number };

/** Accepts flows over REST, in NDJSON batches one after another. @throws Error when a batch or a line of it is refused. */
export async function acceptFlows(client: RestClient, { flow, input, count }: Flows): Promise<void> {
  const line = JSON.stringify({ flow, input });
  for (let sent = 0; sent < count; sent += BATCH_FLOWS) await sendBatch(client, batchOf(line, Math.min(BATCH_FLOWS, count - sent)));
}

export function batchOf(line: string, count: number): string {
  return Array.from({ length: count }, () => line).join('\n');
}

export async function sendBatch(client: RestClient, body: string): Promise<void> {
  const answer = await client.send<{ items?: { error?: unknown }[] }>('/v1/flows/batch', {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body,
  });
  if (answer.status !== 202) throw new Error(`the batch was answered with ${answer.status}: ${JSON.stringify(answer.body)}`);
  const refused = answer.body.items?.find((item) => 'error' in item);
  if (refused !== undefined) throw new Error(`a line was refused: ${JSON.stringify(refused.error)}`);
}

/** Settles when every flow of every workspace is completed. @throws Error when one has not, or when some are still open after five minutes. */
export async function allCompleted(stack: TestStack): Promise<void> {
  const giveUpAt = performance.now() + OPEN_MS_MAX;
  while (await anyOpen(stack)) {
    if (performance.now() > giveUpAt) throw new Error(`flows are still open after ${OPEN_MS_MAX / 1_000} s`);
    await delay(POLL_MS);
  }
  const bad = await stack.database.database.main.query<{ status: string }>(
    "SELECT status FROM millrace.flows WHERE status NOT IN ('completed') LIMIT 1",
  );
  if (bad.rows[0] !== undefined) throw new Error(`a flow is ${bad.rows[0].status}`);
}

// Asked rarely and cheaply: an index holds just the flows that have not completed.
async function anyOpen(stack: TestStack): Promise<boolean> {
  const result = await stack.database.database.main.query<{ open: boolean }>(
    `SELECT EXISTS (SELECT FROM millrace.workspaces w JOIN millrace.flows f ON f.workspace = w.name
                    WHERE f.status NOT IN ('completed') AND f.status NOT IN ('failed', 'cancelled')) AS open`,
  );
  return result.rows[0]?.open === true;
}

/** The time by PostgreSQL's clock, in milliseconds: what `at` and `finished_at` are by. */
export async function serverTimeMs(stack: TestStack): Promise<number> {
  const result = await stack.database.database.main.query<{ ms: number }>(
    'SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms',
  );
  return result.rows[0]?.ms ?? 0;
}
