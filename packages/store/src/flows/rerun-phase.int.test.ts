// One phase of an ended flow is run again, with what depends on it.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newGroupId } from '@millrace/shared';
import { createStoreFixture, WORKER, type MadeFlow, type StoreFixture } from '../test-support/store-fixture.ts';
import { takeBacklog } from './backlog.ts';
import { cancelFlow } from './cancel-flow.ts';
import { orphans } from './children.ts';
import { claimPhases } from './claim-phases.ts';
import { completePhases } from './complete-phases.ts';
import { failPhase } from './fail-phase.ts';
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

const rerun = ({ flowId }: Pick<MadeFlow, 'flowId'>, phase: string, workspace = 'default') =>
  rerunPhase(store.database, { flowId, workspace, phase });
const statuses = async (flow: MadeFlow, count: number) =>
  Promise.all(Array.from({ length: count }, async (_, n) => (await store.phase(flow.phaseId(n))).status));
const takeAll = () => takeBacklog(store.database.hot, [{ workspace: 'default', count: 100 }]);

async function finish(flow: MadeFlow, ordinals: readonly number[], output: unknown = 'first'): Promise<void> {
  for (const ordinal of ordinals) await store.complete(await store.claim([flow.phaseId(ordinal)]), output);
}

async function fail(flow: MadeFlow, ordinal: number): Promise<void> {
  const [phase] = await store.claim([flow.phaseId(ordinal)]);
  const error = { code: 'Error', message: `no ${ordinal}` };
  await failPhase(store.database, { id: flow.phaseId(ordinal), fence: phase?.fence ?? 0, worker: WORKER, error, retryDelayMs: null });
}

async function skipByCondition(flow: MadeFlow, ordinal: number): Promise<void> {
  const [phase] = await store.claim([flow.phaseId(ordinal)]);
  const completion = { id: flow.phaseId(ordinal), fence: phase?.fence ?? 0, worker: WORKER, outputJson: 'null', skipped: true };
  await completePhases(store.database.hot, [completion], { dispatch: true });
}

describe('rerunPhase', () => {
  it('starts the phase and all that depends on it over, and keeps the rest', async () => {
    const flow = await store.make([[], [0], [0], [1, 2], [3]]);
    await finish(flow, [0, 1, 2, 3, 4]);
    expect(await rerun(flow, 'p1')).toMatchObject({
      kind: 'done',
      events: [
        { type: 'flow.queued', data: { run: 2, phase: 'p1' } },
        { type: 'phase.queued', phase: 'p1' },
      ],
    });
    expect(await statuses(flow, 5)).toEqual(['completed', 'queued', 'completed', 'pending', 'pending']);
    expect(await store.phase(flow.phaseId(1))).toMatchObject({ attempts: 0, output: null, finished_at: null, lease_owner: null });
    expect(await store.phase(flow.phaseId(3))).toMatchObject({ needs_open: 1, output: null });
    expect(await store.flow(flow.flowId)).toMatchObject({ status: 'queued', run: 2, phases_open: 3, phases_failed: 0, finished_at: null });
  });

  it('comes to its end with the new outputs, and events that go on numbering', async () => {
    const flow = await store.make([[], [0], [1]]);
    await finish(flow, [0, 1, 2]);
    await rerun(flow, 'p1');
    await takeAll();
    await finish(flow, [1], 'second');
    const last = await store.claim([flow.phaseId(2)]);
    expect(last[0]).toMatchObject({ run: 2, attempt: 1, outputs: { p1: 'second' } });
    await store.complete(last);
    expect(await store.flow(flow.flowId)).toMatchObject({ status: 'completed', phases_open: 0 });
    const story = await store.story(flow.flowId);
    expect([story.filter((line) => line === 'flow.completed').length, story.at(-1)]).toEqual([2, 'flow.completed']);
  });

  it('lets a delivery and a worker of the run before do nothing', async () => {
    const flow = await store.make([[]]);
    const [old] = await store.claim([flow.phaseId(0)]);
    if (old === undefined) throw new Error('not claimed');
    await store.complete([old]);
    await rerun(flow, 'p0');
    const redelivered = await claimPhases(store.database.hot, [{ id: old.id, generation: old.generation }], {
      worker: WORKER,
      leaseMs: 10_000,
    });
    expect(redelivered.results).toEqual([{ kind: 'stale' }]);
    await takeAll();
    expect((await store.claim([old.id]))[0]?.fence).toBeGreaterThan(old.fence);
    expect((await store.complete([old])).committed).toEqual([false]);
  });

  it('names what is needed and has not come to a good end, and changes nothing', async () => {
    const flow = await store.make([[], [], [0, 1], [2]]);
    await finish(flow, [0]);
    await fail(flow, 1);
    const before = await store.story(flow.flowId);
    expect(await rerun(flow, 'p0')).toEqual({ kind: 'blocked', by: [{ name: 'p1', status: 'failed' }] });
    expect(await rerun(flow, 'p3')).toEqual({ kind: 'blocked', by: [{ name: 'p2', status: 'skipped' }] });
    expect([await store.story(flow.flowId), await store.flow(flow.flowId)]).toEqual([
      before,
      expect.objectContaining({ status: 'failed', run: 1 }),
    ]);
    expect((await rerun(flow, 'p1')).kind).toBe('done');
    expect(await statuses(flow, 4)).toEqual(['completed', 'queued', 'pending', 'pending']);
  });

  it('leaves what failed elsewhere as it is, and the new run ends as failed with its error', async () => {
    const flow = await store.make([[], [], [1]]);
    await fail(flow, 0);
    await finish(flow, [1, 2]);
    expect((await store.flow(flow.flowId)).status).toBe('failed');
    expect((await rerun(flow, 'p2')).kind).toBe('done');
    expect(await statuses(flow, 3)).toEqual(['failed', 'completed', 'queued']);
    await takeAll();
    await finish(flow, [2], 'second');
    expect(await store.flow(flow.flowId)).toMatchObject({ status: 'failed', error: { phase: 'p0', code: 'Error', message: 'no 0' } });
    expect((await store.story(flow.flowId)).at(-1)).toBe('flow.failed');
  });

  it('names the error that is left when the one of the flow starts over', async () => {
    const flow = await store.make([[], []]);
    await fail(flow, 0);
    await fail(flow, 1);
    await rerun(flow, 'p0');
    expect(await store.flow(flow.flowId)).toMatchObject({ phases_failed: 1, error: { phase: 'p1', message: 'no 1' } });
    await takeAll();
    await finish(flow, [0]);
    expect((await retryFlow(store.database, { flowId: flow.flowId, workspace: 'default' })).kind).toBe('done');
    expect(await store.flow(flow.flowId)).toMatchObject({ phases_failed: 0, error: null, run: 3, phases_open: 1 });
  });

  it('takes a phase that its own condition skipped for done, as a retry does', async () => {
    const flow = await store.make([[], [0], []]);
    await skipByCondition(flow, 0);
    await finish(flow, [1, 2]);
    expect((await rerun(flow, 'p1')).kind).toBe('done');
    expect(await statuses(flow, 3)).toEqual(['skipped', 'queued', 'completed']);
    await takeAll();
    await fail(flow, 1);
    await retryFlow(store.database, { flowId: flow.flowId, workspace: 'default' });
    expect(await statuses(flow, 3)).toEqual(['skipped', 'queued', 'completed']);
    expect((await rerun(flow, 'p0')).kind).toBe('refused');
  });

  it('waits for a signal of the new run', async () => {
    const flow = await store.make([[]]);
    await store.sql(
      "/* forged */ UPDATE millrace.phases SET signal = 'go', wait_timeout_ms = 60000, status = 'waiting' WHERE flow_id = $1",
      [flow.flowId],
    );
    const send = () => sendSignal(store.database, { flowId: flow.flowId, workspace: 'default', name: 'go', bodyJson: '1', by: 'test' });
    await send();
    expect((await rerun(flow, 'p0')).kind).toBe('done');
    expect(await store.flow(flow.flowId)).toMatchObject({ status: 'waiting' });
    expect(await store.phase(flow.phaseId(0))).toMatchObject({ status: 'waiting', due_at: expect.any(Date) });
    expect((await send()).kind).toBe('sent');
    expect((await store.flow(flow.flowId)).status).toBe('completed');
  });

  it('takes its turn again under a concurrency key', async () => {
    const flow = await store.make([[]], { extras: { concurrency: { key: 'k', limit: 1 } } });
    await store.sql("/* forged */ UPDATE millrace.flows SET status = 'completed', phases_open = 0 WHERE id = $1", [flow.flowId]);
    await store.sql("/* forged */ UPDATE millrace.phases SET status = 'completed' WHERE flow_id = $1", [flow.flowId]);
    await store.sql('DELETE FROM millrace.admissions');
    await rerun(flow, 'p0');
    expect(await store.sql('SELECT held FROM millrace.phases WHERE flow_id = $1', [flow.flowId])).toEqual([{ held: 'limit' }]);
    expect(await store.sql('SELECT kind, key FROM millrace.admissions')).toEqual([{ kind: 'limit', key: 'k' }]);
  });

  it('of a child whose parent has gone on makes no orphan of it', async () => {
    const parent = await store.make([[]]);
    await finish(parent, [0]);
    const link = { phaseId: parent.phaseId(0), run: 1, key: 'c', policy: 'continue' as const, awaited: true, depth: 1 };
    const child = await store.make([[]], { extras: { parent: link } });
    await finish(child, [0]);
    await rerun(child, 'p0');
    expect((await orphans(store.database.main, 100)).map((orphan) => orphan.flowId)).not.toContain(child.flowId);
  });

  it('is refused until the flow has ended, and when it is cancelled', async () => {
    const [queued, running, cancelled] = [await store.make([[]]), await store.make([[]]), await store.make([[]])];
    await store.claim([running.phaseId(0)]);
    await cancelFlow(store.database, { flowId: cancelled.flowId, workspace: 'default', by: 'test' });
    const outcomes = await Promise.all([queued, running, cancelled].map((flow) => rerun(flow, 'p0')));
    expect(outcomes).toEqual(['queued', 'running', 'cancelled'].map((status) => ({ kind: 'refused', status })));
  });

  it('finds no phase of another name, in another workspace, or of no flow', async () => {
    const flow = await store.make([[]]);
    await finish(flow, [0]);
    const outcomes = [await rerun(flow, 'p1'), await rerun(flow, 'p0', 'other'), await rerun({ flowId: newGroupId() }, 'p0')];
    expect(outcomes).toEqual(Array.from({ length: 3 }, () => ({ kind: 'not-found' })));
  });

  it('opens one run for two requests at the same time', async () => {
    const flow = await store.make([[]]);
    await finish(flow, [0]);
    const outcomes = await Promise.all([rerun(flow, 'p0'), rerun(flow, 'p0')]);
    expect(outcomes.map((outcome) => outcome.kind).toSorted()).toEqual(['done', 'refused']);
    expect((await store.flow(flow.flowId)).run).toBe(2);
  });
});
