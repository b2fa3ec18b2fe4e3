// Flows whose time is over: before their start, and while they run.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createStoreFixture, WORKER, type StoreFixture } from '../test-support/store-fixture.ts';
import { endOverdueFlow, overdueFlows } from './end-overdue-flows.ts';
import { rerunPhase } from './rerun-phase.ts';
import { retryFlow } from './retry-flow.ts';
import { sendSignal } from './signals.ts';

let store: StoreFixture;
beforeAll(async () => {
  store = await createStoreFixture();
});
afterAll(async () => {
  await store.close();
});

const overdue = () => overdueFlows(store.database.main, 100);
const endOne = (flowId: string) => endOverdueFlow(store.database, flowId);
const set = (flowId: string, assignments: string) => store.sql(`UPDATE millrace.flows SET ${assignments} WHERE id = $1`, [flowId]);
const inMs = (ms: number) => new Date(Date.now() + ms).toISOString();
/** A flow that has run its first phase for an hour, with the end of its time as it is set at the start. */
const started = async (timeoutMs: number) => {
  const made = await store.make([[], [0]], { extras: { timeoutMs } });
  const [phase] = await store.claim([made.phaseId(0)]);
  await set(
    made.flowId,
    `started_at = now() - interval '1 hour', due_at = now() - interval '1 hour' + ${timeoutMs} * interval '1 millisecond'`,
  );
  return { ...made, phase };
};

describe('the expiry of a flow', () => {
  it('fails what has not started by then', async () => {
    const { flowId, phaseId } = await store.make([[], [0]], {
      extras: { expiresAt: inMs(60_000), concurrency: { key: 'expiring', limit: 1 } },
    });
    expect(await overdue()).not.toContain(flowId);
    await set(flowId, "expires_at = now() - interval '1 second', due_at = now() - interval '1 second'");
    await store.sql('DELETE FROM millrace.admissions');
    expect(await overdue()).toContain(flowId);
    expect(await endOne(flowId)).toMatchObject({
      ended: true,
      running: 0,
      events: [{ type: 'flow.failed', data: { error: { code: 'expired' } } }],
    });
    expect(await store.flow(flowId)).toMatchObject({
      status: 'failed',
      phases_open: 0,
      error: { code: 'expired' },
      finished_at: expect.any(Date),
    });
    expect(await store.phase(phaseId(0))).toMatchObject({ status: 'cancelled', due_at: null });
    expect(await store.story(flowId)).toEqual(['flow.queued', 'phase.queued p0', 'flow.failed']);
    expect(await store.sql("SELECT FROM millrace.admissions WHERE key = 'expiring'")).toHaveLength(1);
    expect(await endOne(flowId)).toEqual({ ended: false, running: 0, events: [] });
  });

  it('is nothing to a flow that has started', async () => {
    const { flowId, phaseId } = await store.make([[]], { extras: { expiresAt: inMs(60_000) } });
    await store.claim([phaseId(0)]);
    await set(flowId, "expires_at = now() - interval '1 second', due_at = now() - interval '1 second'");
    expect(await overdue()).toContain(flowId);
    expect((await endOne(flowId)).ended).toBe(false);
    expect(await store.flow(flowId)).toMatchObject({ status: 'running', due_at: null });
  });

  it('holds for a flow that is paused before its start', async () => {
    const { flowId } = await store.make([[]], { extras: { expiresAt: inMs(60_000) } });
    await set(flowId, "status = 'paused', expires_at = now() - interval '1 second', due_at = now() - interval '1 second'");
    expect(await overdue()).toContain(flowId);
    expect((await endOne(flowId)).ended).toBe(true);
  });

  it('does not end the next run of a flow that a retry opened', async () => {
    const { flowId } = await store.make([[]], { extras: { expiresAt: inMs(60_000) } });
    await set(flowId, "expires_at = now() - interval '1 second', due_at = now() - interval '1 second'");
    await endOne(flowId);
    expect(await retryFlow(store.database, { flowId, workspace: 'default' })).toMatchObject({ kind: 'done' });
    await set(flowId, "due_at = now() - interval '1 second'");
    expect((await endOne(flowId)).ended).toBe(false);
    expect(await store.flow(flowId)).toMatchObject({ status: 'queued', due_at: null });
  });
});

describe('the time limit of a flow', () => {
  it('fails what takes longer, and fences its running phases', async () => {
    const { flowId, phaseId, phase } = await started(1_800_000);
    expect(await overdue()).toContain(flowId);
    expect(await endOne(flowId)).toMatchObject({
      ended: true,
      running: 1,
      events: [{ type: 'flow.failed', data: { error: { code: 'timeout' } } }],
    });
    expect(await store.flow(flowId)).toMatchObject({ status: 'failed', error: { code: 'timeout' } });
    expect(await store.phase(phaseId(1))).toMatchObject({ status: 'cancelled' });
    expect(phase === undefined ? undefined : (await store.complete([phase])).committed).toEqual([false]);
    expect(await store.sql('SELECT outcome, worker FROM millrace.attempts WHERE phase_id = $1', [phaseId(0)])).toEqual([
      { outcome: 'cancelled', worker: WORKER },
    ]);
  });

  it('leaves what is still in time', async () => {
    const { flowId } = await started(7_200_000);
    expect(await overdue()).not.toContain(flowId);
    await set(flowId, "due_at = now() - interval '1 second'");
    expect((await endOne(flowId)).ended).toBe(false);
    const [row] = await store.sql<{ left: number }>(
      'SELECT extract(epoch FROM due_at - now())::int AS left FROM millrace.flows WHERE id = $1',
      [flowId],
    );
    expect(row?.left).toBeGreaterThan(3_500);
  });

  it('runs on while the flow is paused, whose own end is left to others', async () => {
    const [late, intime] = [await started(1_800_000), await started(7_200_000)];
    for (const { flowId } of [late, intime]) await set(flowId, "status = 'paused', due_at = now() - interval '1 second'");
    const found = await overdue();
    expect([found.includes(late.flowId), found.includes(intime.flowId)]).toEqual([true, false]);
    expect((await endOne(intime.flowId)).ended).toBe(false);
    expect((await endOne(late.flowId)).ended).toBe(true);
  });

  it('ends a flow once, whoever looks', async () => {
    const { flowId } = await started(1_800_000);
    const ends = await Promise.all(Array.from({ length: 8 }, () => endOne(flowId)));
    expect(ends.filter((end) => end.ended)).toHaveLength(1);
    expect((await store.story(flowId)).filter((event) => event === 'flow.failed')).toHaveLength(1);
  });
});

describe('the time of a flow whose first phase waits for a signal', () => {
  const signal = (flowId: string) => sendSignal(store.database, { flowId, workspace: 'default', name: 'go', bodyJson: '1', by: 'test' });
  const waiting = async (extras: object) => {
    const phases = [
      { name: 'wait', needs: [], dependants: [1], attemptMax: 1, signal: 'go', waitTimeoutMs: null },
      { name: 'work', needs: [0], dependants: [], attemptMax: 1, signal: null, waitTimeoutMs: null },
    ];
    return store.make([[], [0]], { extras, phases });
  };

  it('begins with the signal, and then runs out like any other', async () => {
    const { flowId, phaseId } = await waiting({ timeoutMs: 60_000 });
    expect((await store.sql('SELECT due_at FROM millrace.flows WHERE id = $1', [flowId]))[0]).toEqual({ due_at: null });
    await signal(flowId);
    await store.claim([phaseId(1)]);
    const [row] = await store.sql<{ left: number }>(
      'SELECT extract(epoch FROM due_at - started_at)::float8 AS left FROM millrace.flows WHERE id = $1',
      [flowId],
    );
    expect(row?.left).toBeCloseTo(60, 1);
    await set(flowId, "started_at = now() - interval '1 hour', due_at = now() - interval '59 minutes'");
    expect(await overdue()).toContain(flowId);
    expect(await endOne(flowId)).toMatchObject({ ended: true, running: 1, events: [{ data: { error: { code: 'timeout' } } }] });
    await retryFlow(store.database, { flowId, workspace: 'default' });
    expect((await store.flow(flowId)).status).toBe('queued');
  });

  it('ends its time in the queue', async () => {
    const { flowId } = await waiting({ expiresAt: inMs(60_000) });
    await signal(flowId);
    expect((await store.sql('SELECT due_at FROM millrace.flows WHERE id = $1', [flowId]))[0]).toEqual({ due_at: null });
  });

  it('begins anew with the signal of a later run', async () => {
    const { flowId, phaseId } = await waiting({ timeoutMs: 60_000 });
    await signal(flowId);
    await store.complete(await store.claim([phaseId(1)]));
    await rerunPhase(store.database, { flowId, workspace: 'default', phase: 'wait' });
    await set(flowId, "started_at = now() - interval '1 hour'");
    expect(await overdue()).not.toContain(flowId);
    await signal(flowId);
    const [row] = await store.sql<{ left: number }>(
      'SELECT extract(epoch FROM due_at - now())::float8 AS left FROM millrace.flows WHERE id = $1',
      [flowId],
    );
    expect(row?.left).toBeGreaterThan(50);
  });
});
