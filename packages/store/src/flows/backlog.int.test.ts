import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { JobRef } from '@millrace/shared';
import { createDatabase, type Database } from '../database.ts';
import { createStoreFixture, type MadeFlow, type StoreFixture } from '../test-support/store-fixture.ts';
import { dispatchAgain, expiredLeases, postponeCheck, releaseHeld, takeBacklog, unclaimed } from './backlog.ts';
import { cancelFlow } from './cancel-flow.ts';

const store: StoreFixture = await createStoreFixture();
const other: Database = createDatabase({ url: store.url, name: 'other', onError: () => undefined });
const { hot } = store.database;

// Each test has the backlog for itself.
beforeEach(async () => {
  await store.sql('TRUNCATE millrace.flows, millrace.phases, millrace.event_log, millrace.attempts');
});

afterAll(async () => {
  await other.close();
  await store.close();
});

const waiting = (count = 1, priority = 50): Promise<MadeFlow> =>
  store.make(
    Array.from({ length: count }, () => []),
    { dispatch: false, priority },
  );
const overdue = (id: string, seconds = 60) =>
  store.sql("UPDATE millrace.phases SET due_at = now() - $2::int * interval '1 second' WHERE id = $1", [id, seconds]);
const idsOf = (rows: readonly { id: string }[]) => rows.map((row) => row.id);

describe('takeBacklog', () => {
  it('takes the most urgent first and the oldest among equals, in that order', async () => {
    const [low, high, middle, second] = [await waiting(2, 90), await waiting(2, 1), await waiting(1, 50), await waiting(1, 1)];
    const taken = await takeBacklog(hot, [{ workspace: 'default', count: 5 }]);
    expect(idsOf(taken)).toEqual([high.phaseId(0), high.phaseId(1), second.phaseId(0), middle.phaseId(0), low.phaseId(0)]);
    expect(taken[0]).toEqual({ id: high.phaseId(0), generation: 1, workspace: 'default', priority: 1, attempts: 4, delayMs: 0 });
    expect(idsOf(await takeBacklog(hot, [{ workspace: 'default', count: 5 }]))).toEqual([low.phaseId(1)]);
    expect(await takeBacklog(hot, [{ workspace: 'default', count: 5 }])).toEqual([]);
  });

  it('keeps that order in a large take', async () => {
    const flows = [await waiting(150, 60), await waiting(150, 40), await waiting(150, 50)];
    const taken = await takeBacklog(hot, [{ workspace: 'default', count: 400 }]);
    expect(taken.map((dispatch) => dispatch.priority)).toEqual(taken.map((dispatch) => dispatch.priority).toSorted((a, b) => a - b));
    expect(idsOf(taken).slice(0, 150)).toEqual(Array.from({ length: 150 }, (_, n) => flows[1]?.phaseId(n)));
  });

  it('has the taken looked for after the grace time', async () => {
    const { phaseId } = await waiting();
    await takeBacklog(hot, [{ workspace: 'default', count: 1 }]);
    const row = await store.phase(phaseId(0));
    expect(row).toMatchObject({ status: 'queued', dispatched: true, generation: 1 });
    expect((row.due_at?.getTime() ?? 0) - Date.now()).toBeGreaterThan(3_000);
  });

  it('gives two processes disjoint sets', async () => {
    await waiting(200);
    const taken = await Promise.all(
      Array.from({ length: 10 }, (_, n) => takeBacklog(n % 2 === 0 ? hot : other.hot, [{ workspace: 'default', count: 30 }])),
    );
    const ids = taken.flatMap(idsOf);
    expect(new Set(ids).size).toBe(ids.length);
    const rest = await takeBacklog(hot, [{ workspace: 'default', count: 1_000 }]);
    expect(ids.length + rest.length).toBe(200);
  });

  it('passes over rows that someone holds', async () => {
    const { phaseId } = await waiting(3);
    await other.transaction(async (client) => {
      await client.query('SELECT FROM millrace.phases WHERE id = $1 FOR UPDATE', [phaseId(0)]);
      expect(idsOf(await takeBacklog(hot, [{ workspace: 'default', count: 10 }]))).toEqual([phaseId(1), phaseId(2)]);
    });
  });

  it('leaves alone what is held for later, waits for others, is dispatched or cancelled', async () => {
    await store.make([[], [0]], { dispatch: false, runAt: new Date(Date.now() + 60_000).toISOString() });
    await store.make([[], [0]]);
    const { flowId } = await waiting();
    await cancelFlow(store.database, { flowId, workspace: 'default', by: 'test' });
    expect(await takeBacklog(hot, [{ workspace: 'default', count: 10 }])).toEqual([]);
  });
});

describe('releaseHeld', () => {
  it('lets into the backlog what may start now, and nothing else', async () => {
    const due = await store.make([[]], { runAt: new Date(Date.now() - 1_000).toISOString() });
    await store.make([[]], { runAt: new Date(Date.now() + 60_000).toISOString() });
    const dispatched = await store.make([[]]);
    await overdue(dispatched.phaseId(0));
    expect(await releaseHeld(hot, 10)).toBe(1);
    expect(await releaseHeld(hot, 10)).toBe(0);
    expect(idsOf(await takeBacklog(hot, [{ workspace: 'default', count: 10 }]))).toEqual([due.phaseId(0)]);
  });

  it('takes no more than its limit', async () => {
    await store.make(
      Array.from({ length: 5 }, () => []),
      { runAt: new Date(Date.now() - 1_000).toISOString() },
    );
    expect(await releaseHeld(hot, 3)).toBe(3);
    expect(await releaseHeld(hot, 3)).toBe(2);
  });
});

describe('expiredLeases', () => {
  it('names claims whose lease has run out, the longest ago first, with their fence', async () => {
    const { phaseId } = await store.make([[], [], []]);
    await store.claim([0, 1, 2].map(phaseId));
    await overdue(phaseId(1), 10);
    await overdue(phaseId(2), 20);
    expect(await expiredLeases(hot, 10)).toEqual([
      { id: phaseId(2), fence: 1, crashes: 0, alone: false, owner: 'dead' },
      { id: phaseId(1), fence: 1, crashes: 0, alone: false, owner: 'dead' },
    ]);
    expect(await expiredLeases(hot, 1)).toHaveLength(1);
  });

  it('does not name dispatched ones that nobody claimed', async () => {
    const { phaseId } = await store.make([[]]);
    await overdue(phaseId(0));
    expect(await expiredLeases(hot, 10)).toEqual([]);
  });
});

describe('jobs that may be gone from the queue', () => {
  const ref = (flow: MadeFlow, generation = 1): JobRef => ({ id: flow.phaseId(0), generation });

  it('are those of dispatched phases past their grace time', async () => {
    const [late, early] = [await store.make([[]]), await store.make([[]])];
    await overdue(late.phaseId(0));
    expect(await unclaimed(hot, 10)).toEqual([ref(late)]);
    expect((await store.phase(early.phaseId(0))).status).toBe('queued');
  });

  it('are those of retries well past their time', async () => {
    const [late, justNow] = [await store.make([[]]), await store.make([[]])];
    for (const flow of [late, justNow])
      await store.sql("/* forged */ UPDATE millrace.phases SET status = 'retrying' WHERE id = $1", [flow.phaseId(0)]);
    await overdue(late.phaseId(0), 6);
    await overdue(justNow.phaseId(0), 2);
    expect(await unclaimed(hot, 10)).toEqual([ref(late)]);
  });

  it('are dispatched again under a new generation, once', async () => {
    const flow = await store.make([[]], { priority: 3 });
    await overdue(flow.phaseId(0));
    const outcomes = await Promise.all([dispatchAgain(hot, [ref(flow)]), dispatchAgain(other.hot, [ref(flow)])]);
    expect(outcomes.flat()).toEqual([{ id: flow.phaseId(0), generation: 2, workspace: 'default', priority: 3, attempts: 4, delayMs: 0 }]);
    expect(await dispatchAgain(hot, [ref(flow)])).toEqual([]);
    expect(await unclaimed(hot, 10)).toEqual([]);
  });

  it('are not dispatched again when someone claimed, released or cancelled meanwhile', async () => {
    const [claimed, cancelled] = [await store.make([[]]), await store.make([[]])];
    await store.claim([claimed.phaseId(0)]);
    await cancelFlow(store.database, { flowId: cancelled.flowId, workspace: 'default', by: 'test' });
    expect(await dispatchAgain(hot, [ref(claimed), ref(cancelled)])).toEqual([]);
  });

  it('of retries are dispatched as queued phases with the attempts that are left', async () => {
    const flow = await store.make([[]]);
    await store.sql("/* forged */ UPDATE millrace.phases SET status = 'retrying', attempts = 3 WHERE id = $1", [flow.phaseId(0)]);
    await overdue(flow.phaseId(0));
    expect(await dispatchAgain(hot, [ref(flow)])).toMatchObject([{ generation: 2, attempts: 1 }]);
    expect((await store.claim([flow.phaseId(0)]))[0]).toMatchObject({ attempt: 4 });
  });

  it('that are in the queue all the same are not looked for again before another grace time', async () => {
    const [queued, retrying] = [await store.make([[]]), await store.make([[]])];
    await store.sql("/* forged */ UPDATE millrace.phases SET status = 'retrying', attempts = 1 WHERE id = $1", [retrying.phaseId(0)]);
    for (const flow of [queued, retrying]) await overdue(flow.phaseId(0));
    await postponeCheck(hot, [ref(queued), ref(retrying)]);
    expect(await unclaimed(hot, 10)).toEqual([]);
    expect((await store.claim([queued.phaseId(0), retrying.phaseId(0)])).map((phase) => phase.attempt)).toEqual([1, 2]);
  });

  it('are not put off for a generation that is over', async () => {
    const flow = await store.make([[]]);
    await overdue(flow.phaseId(0));
    await postponeCheck(hot, [ref(flow, 9)]);
    expect(await unclaimed(hot, 10)).toEqual([ref(flow)]);
  });

  it('cost nothing when there are none', async () => {
    expect(await dispatchAgain(hot, [])).toEqual([]);
    await expect(postponeCheck(hot, [])).resolves.toBeUndefined();
  });
});
