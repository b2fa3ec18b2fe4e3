// Many cancels among many running phases on several workers: each has its receipt, and nothing that was cancelled is committed.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestStack, eventually, startFlows, type TestStack } from '@millrace/testing';
import { flowCounts } from '../support/ledger.ts';

const FLOWS = 1_000;
const CANCELS = 200;
/** Of ten flows three are deaf. */
const isDeaf = (index: number) => index % 10 < 3;
const FLOW_MS = 30_000;
const CANCELS_AT_A_TIME = 20;

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack({ env: { MILLRACE_FLOW_CONCURRENCY: '400' } });
  await stack.startApi();
  await Promise.all([1, 2, 3].map(() => stack.startWorker()));
}, 60_000);

afterAll(async () => {
  await stack.close();
}, 60_000);

const rows = async <Row extends object>(text: string, values: unknown[] = []) =>
  (await stack.database.database.main.query<Row>(text, values)).rows;
const allRunning = () =>
  eventually(
    async () => {
      expect(await rows("SELECT count(*)::int AS count FROM millrace.phases WHERE status = 'running'")).toEqual([{ count: FLOWS }]);
    },
    { withinMs: 20_000 },
  );
const receipts = () =>
  rows<{ deaf: boolean; how: string | null; seen: boolean; count: number; workers: number }>(
    `SELECT f.name = 'selftest.ignore' AS deaf, c.how, bool_and(c.seen_at IS NOT NULL AND c.ended_at >= c.seen_at) AS seen,
            count(*)::int AS count, count(DISTINCT c.worker)::int AS workers
     FROM millrace.cancellations c JOIN millrace.flows f ON f.id = c.flow_id GROUP BY 1, 2 ORDER BY 1`,
  );

async function cancelAll(ids: readonly string[]): Promise<void> {
  for (let from = 0; from < ids.length; from += CANCELS_AT_A_TIME) {
    const answers = await Promise.all(ids.slice(from, from + CANCELS_AT_A_TIME).map((id) => stack.client.post(`/v1/flows/${id}/cancel`)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
  }
}

describe('200 cancels among 1,000 running phases', () => {
  it('are each seen and answered for, and nothing is committed after', async () => {
    const ids = await startFlows(
      stack.client,
      Array.from({ length: FLOWS }, (_, index) => ({ flow: isDeaf(index) ? 'selftest.ignore' : 'selftest.sleep', input: { ms: FLOW_MS } })),
    );
    await allRunning();
    await cancelAll(ids.slice(0, CANCELS));
    await eventually(
      async () => {
        expect(await receipts()).toEqual([
          { deaf: false, how: 'stopped', seen: true, count: (CANCELS * 7) / 10, workers: 3 },
          { deaf: true, how: 'fenced', seen: true, count: (CANCELS * 3) / 10, workers: 3 },
        ]);
      },
      { withinMs: 20_000 },
    );
    // The deaf ones have come to their end by now, too: they ran as long as those that were let alone.
    await eventually(
      async () => {
        expect(await flowCounts(stack)).toEqual({ completed: FLOWS - CANCELS, cancelled: CANCELS });
      },
      { withinMs: 60_000 },
    );
    const late = await rows(
      `SELECT e.type FROM millrace.flows f JOIN millrace.events c ON c.subject_id = f.id AND c.type = 'flow.cancelled'
       JOIN millrace.events e ON e.subject_id = f.id AND e.seq > c.seq WHERE f.status = 'cancelled'`,
    );
    expect(late).toEqual([]);
    expect(
      await rows(
        `SELECT p.status, count(*)::int AS count, count(p.output)::int AS outputs, max(p.fence)::int AS claims
         FROM millrace.phases p GROUP BY 1 ORDER BY 1`,
      ),
    ).toEqual([
      { status: 'cancelled', count: CANCELS, outputs: 0, claims: 1 },
      { status: 'completed', count: FLOWS - CANCELS, outputs: FLOWS - CANCELS, claims: 1 },
    ]);
  }, 150_000);
});
