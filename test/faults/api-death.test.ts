// The API dies between COMMIT and its answer: what was accepted stays accepted, and the key finds it again.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestStack, type TestProcess, type TestStack } from '@millrace/testing';
import { allCompleted, expectExactLedger } from '../support/ledger.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.startWorker();
}, 60_000);

afterAll(async () => {
  await stack.close();
}, 60_000);

const keys = Array.from({ length: 400 }, (_, index) => `order-${index}`);

/** The flow's id, or undefined when no answer came. */
async function post(key: string): Promise<string | undefined> {
  try {
    const answer = await stack.client.post<{ id: string }>(
      '/v1/flows',
      { flow: 'selftest.ledger', input: { phases: 5, key } },
      { 'idempotency-key': key },
    );
    expect(answer.status).toBe(202);
    return answer.body.id;
  } catch (error) {
    // What fetch throws when the connection broke; by name, since it comes from outside the test's realm.
    if ((error as Error).name === 'TypeError') return undefined;
    throw error;
  }
}

/** Kills the API as soon as it has committed something. */
async function killAfterFirstCommit(api: TestProcess): Promise<void> {
  for (;;) {
    const made = await stack.database.database.main.query('SELECT FROM millrace.flows LIMIT 1');
    if (made.rowCount === 1) break;
  }
  api.signal('SIGKILL');
  await api.exited;
}

describe('an API that is killed while it accepts flows', () => {
  it('has made one flow for each key once everything was sent again', async () => {
    const api = await stack.startApi();
    const sending = Promise.all(keys.map((key) => post(key)));
    await killAfterFirstCommit(api);
    const before = await sending;
    const committed = await stack.database.database.main.query<{ count: number }>('SELECT count(*)::int AS count FROM millrace.flows');
    expect(committed.rows[0]?.count).toBeGreaterThan(0);
    await stack.startApi();
    const after = await Promise.all(keys.map((key) => post(key)));
    // Who got an answer before gets the same one now.
    before.forEach((id, index) => {
      if (id !== undefined) expect(after[index]).toBe(id);
    });
    expect(new Set(after).size).toBe(keys.length);
    await allCompleted(stack, keys.length, 60_000);
    await expectExactLedger(stack, keys.length);
  }, 120_000);
});
