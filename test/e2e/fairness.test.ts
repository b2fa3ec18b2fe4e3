// Fairness on real processes: a workspace that floods the queue does not hold up another, shares follow weights, and what is urgent overtakes.
// Judged by the order of starts, never by the clock: how fast the machine is does not matter.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createRestClient, createTestStack, eventually, type RestClient, type TestStack } from '@millrace/testing';

const CONCURRENCY = 20;
/** Long beside what the machine takes to hand out a flow, however slow it is: meanwhile others start. */
const SLEEP_MS = 250;
/** Smaller than what is queued here, so that most of it waits in PostgreSQL. */
const WINDOW = 200;
let stack: TestStack;

beforeEach(async () => {
  stack = await createTestStack({ env: { MILLRACE_FLOW_CONCURRENCY: String(CONCURRENCY), MILLRACE_DISPATCH_WINDOW: String(WINDOW) } });
  await stack.startApi();
}, 60_000);

afterEach(async () => {
  await stack.close();
}, 60_000);

async function clientOf(workspace: string): Promise<RestClient> {
  const answer = await stack.client.post<{ key: string }>('/v1/keys', { name: workspace, role: 'operator', workspace });
  if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
  return createRestClient({ baseUrl: stack.client.baseUrl, key: answer.body.key });
}

async function setWeight(name: string, weight: number): Promise<void> {
  const answer = await stack.client.send(`/v1/workspaces/${name}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ weight }),
  });
  if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
}

async function queue(client: RestClient, count: number, more: object = {}): Promise<void> {
  const lines = Array.from({ length: count }, () => ({ flow: 'selftest.sleep', input: { ms: SLEEP_MS }, ...more }));
  const answer = await client.post<{ items: { id?: string }[] }>('/v1/flows/batch', lines);
  expect([answer.status, answer.body.items.filter((item) => item.id !== undefined).length]).toEqual([202, count]);
}

type Start = { workspace: string; priority: number };

/** Everything that started after the flows that `mark` selects were accepted, in the order of the starts. */
async function startsSince(mark: string): Promise<Start[]> {
  const { rows } = await stack.database.database.main.query<Start>(
    `SELECT p.workspace, p.priority FROM millrace.phases p
     WHERE p.started_at > (SELECT min(f.created_at) FROM millrace.flows f WHERE ${mark}) ORDER BY p.started_at, p.id`,
  );
  return rows;
}

/** How many others started before the n-th of these. */
function othersBefore(starts: readonly Start[], isOne: (start: Start) => boolean, nth: number): number {
  const index = starts.findIndex((_, at) => starts.slice(0, at + 1).filter(isOne).length === nth);
  if (index < 0) throw new Error(`only ${starts.filter(isOne).length} have started`);
  return starts.slice(0, index).filter((start) => !isOne(start)).length;
}

const someStarted = (count: number) =>
  eventually(
    async () => {
      const { rows } = await stack.database.database.main.query<{ count: number }>(
        'SELECT count(*)::int AS count FROM millrace.phases WHERE started_at IS NOT NULL',
      );
      expect(rows[0]?.count).toBeGreaterThanOrEqual(count);
    },
    { withinMs: 30_000 },
  );

describe('a workspace that comes with ten flows after another one has queued thousands', () => {
  it('waits for less than three times what a flow takes', async () => {
    const [a, b] = [await clientOf('a'), await clientOf('b')];
    await stack.startWorker();
    await queue(a, 2_000);
    await someStarted(100);
    // All at once: how long ten requests take one after the other is no matter of fairness.
    await queue(b, 10);
    const starts = await eventually(
      async () => {
        const found = await startsSince("f.workspace = 'b'");
        expect(found.filter(({ workspace }) => workspace === 'b')).toHaveLength(10);
        return found;
      },
      { withinMs: 30_000 },
    );
    // While a flow takes its time, as many start as run at a time.
    expect(othersBefore(starts, ({ workspace }) => workspace === 'b', 10)).toBeLessThan(3 * CONCURRENCY);
  }, 60_000);
});

describe('weights', () => {
  it('give a workspace its share while others wait too', async () => {
    const [light, heavy] = [await clientOf('light'), await clientOf('heavy')];
    await setWeight('heavy', 3);
    await Promise.all([queue(light, 600), queue(heavy, 600)]);
    await stack.startWorker();
    await someStarted(500);
    const first = (await startsSince('true')).slice(100, 500);
    const share = first.filter(({ workspace }) => workspace === 'heavy').length / first.length;
    expect(share).toBeGreaterThan(0.6);
    expect(share).toBeLessThan(0.9);
  }, 60_000);
});

describe('priorities', () => {
  it('let what is urgent overtake what its workspace has queued', async () => {
    await stack.startWorker();
    await queue(stack.client, 1_000);
    await someStarted(60);
    await queue(stack.client, 10, { priority: 1 });
    await queue(stack.client, 10, { priority: 99 });
    const starts = await eventually(
      async () => {
        const found = await startsSince('f.priority = 1');
        expect(found.filter(({ priority }) => priority === 1)).toHaveLength(10);
        return found;
      },
      { withinMs: 30_000 },
    );
    expect(othersBefore(starts, ({ priority }) => priority === 1, 10)).toBeLessThan(3 * CONCURRENCY);
    expect(starts.filter(({ priority }) => priority === 99)).toEqual([]);
  }, 60_000);
});
