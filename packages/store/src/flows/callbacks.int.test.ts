import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { BackoffPolicy } from '@millrace/shared';
import { eventually } from '@millrace/testing';
import { createStoreFixture, WORKER, type StoreFixture } from '../test-support/store-fixture.ts';
import { overdueWaits } from './backlog.ts';
import { mintCallbackToken } from './callback-token.ts';
import { awaitCallback, completeCallback, failCallback, failOverdueCallbacks } from './callbacks.ts';
import { cancelFlow } from './cancel-flow.ts';
import type { ClaimedPhase } from './claim-phases.ts';
import { failOverdueWait } from './fail-phase.ts';
import { releasePhases } from './release-phases.ts';

const BACKOFF: BackoffPolicy = { type: 'fixed', delay: 60_000 };
const ERROR = { code: 'disk-full', message: 'no room' };
let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
});
afterAll(async () => {
  await store.close();
});

const park = (phase: ClaimedPhase, timeoutMs = 60_000) =>
  awaitCallback(store.database, { id: phase.id, fence: phase.fence, worker: WORKER, timeoutMs, backoff: BACKOFF });
const tokenOf = (phase: ClaimedPhase, changes: { run?: number; attempt?: number } = {}) =>
  mintCallbackToken(store.database.main, { phaseId: phase.id, run: phase.run, attempt: phase.attempt, backoff: BACKOFF, ...changes });
const complete = (token: string, outputJson = '{"sum":3}') => completeCallback(store.database, { token, outputJson });
const fail = (token: string, retryable = true) => failCallback(store.database, { token, error: ERROR, retryable });
const active = async (flowId: string) =>
  (
    await store.sql<{ status: string; active: number; open: number }>(
      'SELECT status, phases_active AS active, phases_open AS open FROM millrace.flows WHERE id = $1',
      [flowId],
    )
  )[0];
const awaits = async (id: string) =>
  (await store.sql<{ awaits: unknown }>('SELECT awaits FROM millrace.phases WHERE id = $1', [id]))[0]?.awaits;

/** A flow with a claimed first phase; the second needs it. */
async function claimed(needs: readonly (readonly number[])[] = [[], [0]]) {
  const made = await store.make(needs);
  const [phase] = await store.claim([made.phaseId(0)]);
  if (phase === undefined) throw new Error('not claimed');
  return { ...made, phase };
}

async function waiting(needs?: readonly (readonly number[])[], timeoutMs?: number) {
  const made = await claimed(needs);
  const parked = await park(made.phase, timeoutMs);
  if (!parked.committed) throw new Error('not parked');
  return { ...made, token: await tokenOf(made.phase) };
}

describe('awaitCallback', () => {
  it('frees the phase from its worker and says until when it waits', async () => {
    const { flowId, phase } = await claimed();
    const { committed, events } = await park(phase);
    expect(committed).toBe(true);
    const row = await store.phase(phase.id);
    expect(row).toMatchObject({ status: 'waiting', lease_owner: null, dispatched: false, attempts: 0 });
    const until = row.due_at?.toISOString();
    expect(events.map((event) => [event.type, event.phase, event.data])).toEqual([['phase.waiting', 'p0', { callback: true, until }]]);
    const stored = (await awaits(phase.id)) as { until: string };
    expect(stored).toEqual({ kind: 'callback', until: expect.any(String), fence: phase.fence, backoff: BACKOFF });
    expect(new Date(stored.until).toISOString()).toBe(until);
    expect(await active(flowId)).toEqual({ status: 'waiting', active: 0, open: 2 });
  });

  it('leaves a flow running whose other phases are', async () => {
    const { flowId, phase } = await claimed([[], []]);
    await park(phase);
    expect(await active(flowId)).toEqual({ status: 'running', active: 1, open: 2 });
  });

  it('refuses a worker that lost the phase', async () => {
    const { flowId, phase } = await claimed();
    expect(await park({ ...phase, fence: phase.fence - 1 })).toEqual({ committed: false, events: [] });
    await cancelFlow(store.database, { flowId, workspace: 'default', by: 'test' });
    expect(await park(phase)).toEqual({ committed: false, events: [] });
  });

  it('is not taken for a wait for a signal', async () => {
    const { phase } = await waiting(undefined, 0);
    expect(await overdueWaits(store.database.hot, 10)).toEqual([]);
    expect((await failOverdueWait(store.database, phase.id)).committed).toBe(false);
    expect((await store.phase(phase.id)).status).toBe('waiting');
    expect((await failOverdueCallbacks(store.database, 10)).count).toBe(1);
  });
});

describe('a callback with a result', () => {
  it('completes the phase and makes ready what needs it', async () => {
    const { flowId, phase, phaseId, token } = await waiting();
    const outcome = await complete(token);
    expect(outcome).toMatchObject({ kind: 'accepted', status: 'completed', dispatches: [{ id: phaseId(1) }] });
    expect(await store.phase(phase.id)).toMatchObject({ status: 'completed', output: { sum: 3 }, attempts: 1 });
    expect(await awaits(phase.id)).toBeNull();
    expect(await active(flowId)).toEqual({ status: 'running', active: 1, open: 1 });
    expect((await store.story(flowId)).slice(-3)).toEqual(['phase.waiting p0', 'phase.completed p0', 'phase.queued p1']);
  });

  it('ends a flow that has nothing else to do, and leaves one waiting that waits for more', async () => {
    const one = await waiting([[]]);
    await complete(one.token);
    expect(await active(one.flowId)).toEqual({ status: 'completed', active: 0, open: 0 });
    const two = await waiting([[], []]);
    const [other] = await store.claim([two.phaseId(1)]);
    await park(other as ClaimedPhase);
    await complete(two.token);
    expect(await active(two.flowId)).toEqual({ status: 'waiting', active: 0, open: 1 });
  });

  it('that comes before the phase waits fences its worker', async () => {
    const { flowId, phase } = await claimed();
    expect((await complete(await tokenOf(phase))).kind).toBe('accepted');
    expect((await park(phase)).committed).toBe(false);
    expect((await store.complete([phase])).committed).toEqual([false]);
    expect(await active(flowId)).toEqual({ status: 'running', active: 1, open: 1 });
  });

  it('that comes while the phase is queued for the same attempt leaves nothing to do for its job', async () => {
    const { flowId, phase } = await claimed();
    await releasePhases(store.database.hot, [{ ...phase, outcome: 'interrupted', reason: 'shutdown', delayMs: 0 }]);
    expect((await complete(await tokenOf(phase))).kind).toBe('accepted');
    await expect(store.claim([phase.id])).rejects.toThrow('not claimed: stale');
    expect(await active(flowId)).toEqual({ status: 'running', active: 1, open: 1 });
    await store.story(flowId);
  });

  it('counts once, also when two come at the same time', async () => {
    const { flowId, token } = await waiting();
    const outcomes = await Promise.all([complete(token), complete(token), fail(token)]);
    expect(outcomes.filter((outcome) => outcome.kind === 'accepted')).toHaveLength(1);
    expect(await complete(token)).toMatchObject({ kind: 'refused', because: 'answered' });
    await store.story(flowId);
  });

  it('is taken by a paused flow, which stays paused', async () => {
    const { flowId, phase, token } = await waiting();
    await store.sql("UPDATE millrace.flows SET status = 'paused' WHERE id = $1", [flowId]);
    expect((await complete(token)).kind).toBe('accepted');
    expect((await store.phase(phase.id)).status).toBe('completed');
    expect((await store.flow(flowId)).status).toBe('paused');
  });
});

describe('a callback with a failure', () => {
  it('that may pass has the phase tried again by its own policy', async () => {
    const { flowId, phase, token } = await waiting();
    const outcome = await fail(token);
    expect(outcome).toMatchObject({
      kind: 'accepted',
      status: 'retrying',
      dispatches: [{ id: phase.id, generation: 2, attempts: 3, delayMs: 60_000 }],
    });
    expect(await store.phase(phase.id)).toMatchObject({ status: 'retrying', attempts: 1, generation: 2, dispatched: true, error: ERROR });
    expect(await active(flowId)).toEqual({ status: 'running', active: 1, open: 2 });
    const attempts = await store.sql('SELECT attempt, outcome, worker FROM millrace.attempts WHERE phase_id = $1', [phase.id]);
    expect(attempts).toEqual([{ attempt: 1, outcome: 'failed', worker: 'callback' }]);
    expect((await store.events(flowId)).at(-1)).toMatchObject({ type: 'phase.retrying', data: { attempt: 1, error: ERROR } });
    expect(await fail(token)).toEqual({ kind: 'refused', because: 'answered', status: 'retrying' });
  });

  it('that will not pass fails the phase and what needs it', async () => {
    const { flowId, token } = await waiting();
    expect(await fail(token, false)).toMatchObject({ kind: 'accepted', status: 'failed', dispatches: [] });
    expect(await store.flow(flowId)).toMatchObject({ status: 'failed', error: { phase: 'p0', ...ERROR } });
    expect((await store.story(flowId)).slice(-3)).toEqual(['phase.failed p0', 'phase.skipped p1', 'flow.failed']);
    expect(await complete(token)).toEqual({ kind: 'refused', because: 'flow-ended', status: 'failed' });
  });

  it('of the last attempt fails the phase', async () => {
    const { phase, token } = await waiting();
    await store.sql('UPDATE millrace.phases SET attempt_max = 1 WHERE id = $1', [phase.id]);
    expect(await fail(token)).toMatchObject({ status: 'failed' });
  });

  it('that comes before the phase waits has its policy all the same', async () => {
    const { flowId, phase } = await claimed();
    expect(await fail(await tokenOf(phase))).toMatchObject({ status: 'retrying', dispatches: [{ delayMs: 60_000 }] });
    expect(await active(flowId)).toEqual({ status: 'running', active: 1, open: 2 });
  });
});

describe('a callback that does not come', () => {
  it('fails the attempt, which is tried again by the policy kept with the wait', async () => {
    const { flowId, phase, token } = await waiting(undefined, 0);
    const overdue = await failOverdueCallbacks(store.database, 10);
    expect(overdue).toMatchObject({ count: 1, dispatches: [{ id: phase.id, generation: 2, delayMs: 60_000 }] });
    expect(overdue.events.map((event) => event.type)).toEqual(['phase.retrying']);
    expect(await store.phase(phase.id)).toMatchObject({
      status: 'retrying',
      attempts: 1,
      error: { code: 'callback-timeout', message: 'the service did not call back in time' },
    });
    expect(await active(flowId)).toEqual({ status: 'running', active: 1, open: 2 });
    expect(await complete(token)).toEqual({ kind: 'unknown' });
    expect((await failOverdueCallbacks(store.database, 10)).count).toBe(0);
  });

  it('fails the phase after its last attempt', async () => {
    const { flowId, phase, token } = await waiting(undefined, 0);
    await store.sql('UPDATE millrace.phases SET attempt_max = 1 WHERE id = $1', [phase.id]);
    await failOverdueCallbacks(store.database, 10);
    expect(await store.flow(flowId)).toMatchObject({ status: 'failed', error: { phase: 'p0', code: 'callback-timeout' } });
    expect(await complete(token)).toEqual({ kind: 'refused', because: 'flow-ended', status: 'failed' });
  });

  it('is decided once by any number of processes, and does not overrule one that came', async () => {
    const late = await waiting(undefined, 0);
    const [outcome, ...passes] = await Promise.all([
      complete(late.token),
      ...[1, 2, 3].map(() => failOverdueCallbacks(store.database, 10)),
    ]);
    const failures = passes.flatMap((pass) => pass.events).length;
    expect([outcome?.kind === 'accepted' ? 1 : 0, failures > 0 ? 1 : 0].reduce((sum, one) => sum + one)).toBe(1);
    await store.story(late.flowId);
  });

  it('is not looked for before its time', async () => {
    await waiting(undefined, 60_000);
    expect((await failOverdueCallbacks(store.database, 10)).count).toBe(0);
  });
});

describe('a token', () => {
  it('is the same for the same attempt, and another one for every other', async () => {
    const { phase } = await claimed();
    const tokens = [await tokenOf(phase), await tokenOf(phase), await tokenOf(phase, { attempt: 2 }), await tokenOf(phase, { run: 2 })];
    expect(new Set(tokens).size).toBe(3);
    expect(tokens[0]).toMatch(/^mrcb_[\w-]+\.[\w-]{43}$/);
  });

  it('opens nothing when any part of it is changed, or it was made elsewhere', async () => {
    const { phase, token } = await waiting();
    const [payload = '', signature = ''] = token.slice(5).split('.');
    const other = await waiting();
    const elsewhere = await createStoreFixture();
    const foreign = await mintCallbackToken(elsewhere.database.main, { phaseId: phase.id, run: 1, attempt: 1, backoff: BACKOFF });
    await elsewhere.close();
    const forged = Buffer.from(JSON.stringify([other.phase.id, 1, 1, BACKOFF])).toString('base64url');
    for (const wrong of [
      '',
      'mrcb_',
      payload,
      `mrcb_${payload}`,
      `mrcb_${forged}.${signature}`,
      `mrcb_${payload}.${signature.slice(0, -2)}AA`,
      `mrcb_${payload}.${'A'.repeat(43)}`,
      `${token}x`,
      foreign,
    ])
      expect(await complete(wrong)).toEqual({ kind: 'unknown' });
    expect((await store.phase(phase.id)).status).toBe('waiting');
  });

  it('is over with its attempt and its run, and when its flow is gone', async () => {
    const { flowId, phase, token } = await waiting();
    expect(await complete(await tokenOf(phase, { attempt: 2 }))).toEqual({ kind: 'unknown' });
    expect(await complete(await tokenOf(phase, { run: 2 }))).toEqual({ kind: 'unknown' });
    await cancelFlow(store.database, { flowId, workspace: 'default', by: 'test' });
    expect(await complete(token)).toEqual({ kind: 'refused', because: 'flow-ended', status: 'cancelled' });
    await store.sql('DELETE FROM millrace.flows WHERE id = $1', [flowId]);
    expect(await complete(token)).toEqual({ kind: 'unknown' });
  });

  it('of an attempt that failed otherwise is over', async () => {
    const { phase, token } = await waiting(undefined, 0);
    await eventually(async () => {
      expect((await failOverdueCallbacks(store.database, 10)).count).toBe(1);
    });
    await store.sql('UPDATE millrace.phases SET due_at = now() WHERE id = $1', [phase.id]);
    const [second] = await store.claim([phase.id]);
    expect(second?.attempt).toBe(2);
    expect(await fail(token)).toEqual({ kind: 'unknown' });
    expect((await store.phase(phase.id)).status).toBe('running');
  });
});
