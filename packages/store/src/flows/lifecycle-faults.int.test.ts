// Faults that stories of flows have shown, each told by itself: places that were never freed, deliveries of a run before, times that were lost.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createStoreFixture, newFlow, type StoreFixture } from '../test-support/store-fixture.ts';
import { admitDue } from './admission/admit.ts';
import { takeBacklog } from './backlog.ts';
import { cancelFlow } from './cancel-flow.ts';
import { claimPhases } from './claim-phases.ts';
import { endOverdueFlow } from './end-overdue-flows.ts';
import { pauseFlow, resumeFlow } from './pause-flow.ts';
import { retryFlow } from './retry-flow.ts';
import { sendSignal } from './signals.ts';

let store: StoreFixture;
beforeAll(async () => {
  store = await createStoreFixture();
}, 60_000);
afterAll(() => store.close());

const target = (flowId: string) => ({ flowId, workspace: 'default', by: 'test' });
const waits = (flow: ReturnType<typeof newFlow>) => flow.phases.map((phase) => ({ ...phase, signal: 'go' }));

describe('a cancelled flow', () => {
  it('gives its place under a concurrency key to the next, and holds nothing', async () => {
    const extras = { concurrency: { key: 'cancelled', limit: 1 } };
    const [first, second] = [await store.make([[]], { extras }), await store.make([[]], { extras })];
    await admitDue(store.database, new Map());
    await cancelFlow(store.database, target(first.flowId));
    await admitDue(store.database, new Map());
    expect(await store.flow(second.flowId)).toMatchObject({ admitted: true });
    await cancelFlow(store.database, target((await store.make([[]], { extras })).flowId));
    expect(
      await store.sql("SELECT id FROM millrace.phases WHERE status = 'cancelled' AND (held IS NOT NULL OR awaits IS NOT NULL)"),
    ).toEqual([]);
  });
});

describe('a flow with a start time and a concurrency key', () => {
  it('is let in at that time, also when it begins with a wait', async () => {
    const flow = await store.make([[]], {
      phases: waits(newFlow([[]])),
      runAt: new Date(Date.now() + 60_000).toISOString(),
      extras: { concurrency: { key: 'later', limit: 1 } },
    });
    const { waitMs } = await admitDue(store.database, new Map());
    expect(waitMs).toBeGreaterThan(1_000);
    await store.sql('UPDATE millrace.flows SET run_at = now() WHERE id = $1', [flow.flowId]);
    await store.sql('UPDATE millrace.admissions SET next_at = now()');
    await admitDue(store.database, new Map());
    expect(await store.flow(flow.flowId)).toMatchObject({ admitted: true });
  });
});

describe('a retried flow', () => {
  it('does not start by a delivery of the run before', async () => {
    const { flowId, phaseId, dispatches } = await store.make([[]], { extras: { expiresAt: new Date(Date.now() - 1_000).toISOString() } });
    expect(dispatches).toHaveLength(1);
    expect(await endOverdueFlow(store.database, flowId)).toMatchObject({ ended: true });
    await retryFlow(store.database, target(flowId));
    const old = await claimPhases(store.database.hot, [{ id: phaseId(0), generation: 1 }], { worker: 'old', leaseMs: 1_000 });
    expect(old.results).toEqual([{ kind: 'stale' }]);
    const again = await takeBacklog(store.database.hot, [{ workspace: 'default', count: 10 }]);
    expect(again.map(({ id }) => id)).toContain(phaseId(0));
  });
});

describe('a flow that a signal starts', () => {
  it('has its time limit from then on', async () => {
    const { flowId } = await store.make([[], [0]], {
      phases: newFlow([[], [0]]).phases.map((phase, at) => ({ ...phase, signal: at === 0 ? 'go' : null })),
      extras: { timeoutMs: 60_000 },
    });
    await sendSignal(store.database, { ...target(flowId), name: 'go', bodyJson: '1' });
    const [row] = await store.sql('SELECT due_at > now() AS limited FROM millrace.flows WHERE id = $1', [flowId]);
    expect(row).toEqual({ limited: true });
  });
});

describe('a paused flow', () => {
  it('does not take a signal before its start time because it is resumed', async () => {
    const { flowId, phaseId } = await store.make([[]], {
      phases: waits(newFlow([[]])),
      runAt: new Date(Date.now() + 60_000).toISOString(),
    });
    await pauseFlow(store.database, { ...target(flowId), reason: null, until: null });
    await sendSignal(store.database, { ...target(flowId), name: 'go', bodyJson: '1' });
    await resumeFlow(store.database, target(flowId));
    expect(await store.phase(phaseId(0))).toMatchObject({ status: 'waiting' });
  });

  it('that was started in SQL waits for its phases to be made when it is resumed', async () => {
    const [started] = await store.sql<{ id: string }>("SELECT millrace.start_flow('nobody', '{}') AS id");
    const flowId = started?.id ?? '';
    await pauseFlow(store.database, { ...target(flowId), reason: null, until: null });
    await resumeFlow(store.database, target(flowId));
    expect(await store.flow(flowId)).toMatchObject({ status: 'queued' });
  });
});
