// A worker that is killed while it carries out an operation: another goes on where it was, and nothing is done twice or left out.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createTestStack, eventually, startFlows, type TestProcess, type TestStack } from '@millrace/testing';
import { flowCounts } from '../support/ledger.ts';

const COUNT = 3_000;
/** Its lease, and time for somebody to look. */
const TAKEOVER_MS = 15_000;

let stack: TestStack;

beforeEach(async () => {
  stack = await createTestStack();
  await stack.startApi();
}, 60_000);

afterEach(async () => {
  await stack.close();
}, 60_000);

type Row = { status: string; done: number; succeeded: number; fence: string; lease_owner: string | null };

async function operation(): Promise<Row> {
  const result = await stack.database.database.main.query<Row>(
    'SELECT status, done, succeeded, fence, lease_owner FROM millrace.operations',
  );
  const [row] = result.rows;
  if (row === undefined) throw new Error('there is no operation');
  return row;
}

describe('a bulk cancel whose worker is killed', () => {
  it.each(['SIGKILL', 'SIGSTOP'] as const)(
    'by %s goes on with another one',
    async (signal) => {
      const workers: TestProcess[] = await Promise.all([stack.startWorker(), stack.startWorker()]);
      await startFlows(
        stack.client,
        Array.from({ length: COUNT }, () => ({ flow: 'selftest.wait', input: {} })),
      );
      const answer = await stack.client.post('/v1/flows/bulk', { action: 'cancel', filter: { flow: 'selftest.wait' }, ratePerSecond: 400 });
      expect(answer.status).toBe(202);
      const victim = await eventually(
        async () => {
          const { done, lease_owner } = await operation();
          const owner = workers.find(({ pid }) => lease_owner?.includes(`:${pid}:`) === true);
          if (done < 300 || owner === undefined) throw new Error(`done ${done}, with ${lease_owner}`);
          owner.signal(signal);
          return owner;
        },
        { withinMs: 30_000 },
      );
      const killedAt = await operation();
      expect(killedAt.done).toBeLessThan(COUNT);
      await eventually(
        async () => {
          expect(Number((await operation()).fence)).toBeGreaterThan(Number(killedAt.fence));
        },
        { withinMs: TAKEOVER_MS },
      );
      await eventually(
        async () => {
          expect(await operation()).toMatchObject({ status: 'completed', done: COUNT, succeeded: COUNT });
        },
        { withinMs: 60_000 },
      );
      victim.signal('SIGCONT');
      expect(await flowCounts(stack)).toEqual({ cancelled: COUNT });
      const events = await stack.database.database.main.query<{ events: number; flows: number }>(
        "SELECT count(*)::int AS events, count(DISTINCT subject_id)::int AS flows FROM millrace.events WHERE type = 'flow.cancelled'",
      );
      expect(events.rows).toEqual([{ events: COUNT, flows: COUNT }]);
    },
    150_000,
  );
});
