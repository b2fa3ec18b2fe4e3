// Phases that wait without a worker, and what wakes them.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createStoreFixture, WORKER, type StoreFixture } from '../test-support/store-fixture.ts';
import { cancelFlow } from './cancel-flow.ts';
import { suspendPhases, type Awaits } from './suspend-phases.ts';
import { wakePhases } from './wake-phases.ts';

let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

const full = (awaits: Partial<Awaits>): Awaits => ({ kind: 'time', until: null, names: [], children: false, failuresSeen: 0, ...awaits });
const inMs = (ms: number) => new Date(Date.now() + ms).toISOString();
const running = async (needs: number[][] = [[]]) => {
  const flow = await store.make(needs);
  const [phase] = await store.claim([flow.phaseId(0)]);
  if (phase === undefined) throw new Error('not claimed');
  const suspend = (awaits: Partial<Awaits>, worker = WORKER) =>
    suspendPhases(store.database.hot, [{ id: phase.id, fence: phase.fence, worker, awaits: full(awaits) }]);
  return { ...flow, phase, suspend };
};
const wake = (ids: string[], onlyDue = false) => wakePhases(store.database.hot, { ids, reason: 'woken', onlyDue });

describe('a suspended phase', () => {
  it('gives its place back, and its flow waits', async () => {
    const { flowId, phase, suspend } = await running();
    const until = inMs(60_000);
    const outcome = await suspend({ kind: 'time', until });
    expect(outcome).toMatchObject({ suspended: [true], dispatches: [] });
    expect(await store.phase(phase.id)).toMatchObject({
      status: 'waiting',
      lease_owner: null,
      attempts: 0,
      awaits: { kind: 'time', until },
    });
    expect(await store.flow(flowId)).toMatchObject({ status: 'waiting', phases_active: 0, phases_open: 1 });
    expect(outcome.events.map((event) => [event.type, event.data])).toEqual([['phase.waiting', { for: 'time', until }]]);
  });

  it('keeps its flow running while another phase runs', async () => {
    const flow = await store.make([[], []]);
    const [one] = await store.claim([flow.phaseId(0), flow.phaseId(1)]);
    if (one === undefined) throw new Error('not claimed');
    await suspendPhases(store.database.hot, [{ id: one.id, fence: one.fence, worker: WORKER, awaits: full({ until: inMs(60_000) }) }]);
    expect(await store.flow(flow.flowId)).toMatchObject({ status: 'running', phases_active: 1 });
  });

  it('is refused to a worker that lost it', async () => {
    const { suspend } = await running();
    expect(await suspend({ kind: 'time', until: inMs(60_000) }, 'another')).toMatchObject({ suspended: [false], events: [] });
  });

  it('is queued again when it is woken, and takes up where it was', async () => {
    const { flowId, phase, suspend, phaseId } = await running();
    await suspend({ kind: 'time', until: inMs(60_000) });
    const outcome = await wake([phase.id]);
    expect(outcome.dispatches).toEqual([
      { id: phaseId(0), generation: phase.generation + 2, workspace: 'default', priority: 50, attempts: 4, delayMs: 0 },
    ]);
    expect(await store.flow(flowId)).toMatchObject({ status: 'running', phases_active: 1 });
    const [again] = await store.claim([phase.id]);
    expect(again).toMatchObject({ attempt: 1, fence: phase.fence + 1 });
    await store.complete(again === undefined ? [] : [again]);
    expect((await store.story(flowId)).slice(3)).toEqual([
      'phase.started p0',
      'phase.waiting p0',
      'phase.queued p0',
      'phase.started p0',
      'phase.completed p0',
      'flow.completed',
    ]);
  });

  it('is woken once', async () => {
    const { phase, suspend } = await running();
    await suspend({ kind: 'time', until: inMs(60_000) });
    const outcomes = await Promise.all([wake([phase.id]), wake([phase.id])]);
    expect(outcomes.flatMap(({ dispatches }) => dispatches)).toHaveLength(1);
  });

  it('sleeps on when only those whose time is over are woken', async () => {
    const { phase, suspend } = await running();
    await suspend({ kind: 'time', until: inMs(60_000) });
    expect((await wake([phase.id], true)).dispatches).toEqual([]);
  });

  it('is not suspended at all when its time is over already', async () => {
    const { phase, suspend } = await running();
    expect(await suspend({ kind: 'time', until: inMs(-1) })).toMatchObject({ suspended: [true], dispatches: [{ id: phase.id }] });
  });

  it('is not suspended when the signal came meanwhile', async () => {
    const { flowId, phase, suspend } = await running();
    await store.sql(
      "INSERT INTO millrace.signals (flow_id, run, name, workspace, body, sent_by) VALUES ($1, 1, 'go', 'default', '1', 'test')",
      [flowId],
    );
    expect(await suspend({ kind: 'signal', names: ['stop', 'go'], until: null })).toMatchObject({ dispatches: [{ id: phase.id }] });
  });

  it('ends with its flow', async () => {
    const { flowId, phase, suspend } = await running();
    await suspend({ kind: 'time', until: inMs(60_000) });
    await cancelFlow(store.database, { flowId, workspace: 'default', by: 'test' });
    expect((await wake([phase.id])).dispatches).toEqual([]);
    expect(await store.phase(phase.id)).toMatchObject({ status: 'cancelled' });
  });

  it('stays held when it is woken in a paused flow', async () => {
    const { flowId, phase, suspend } = await running();
    await suspend({ kind: 'time', until: inMs(60_000) });
    await store.sql("UPDATE millrace.flows SET status = 'paused' WHERE id = $1", [flowId]);
    expect((await wake([phase.id])).dispatches).toEqual([]);
    expect(await store.phase(phase.id)).toMatchObject({ status: 'queued', held: 'pause' });
    expect(await store.flow(flowId)).toMatchObject({ status: 'paused' });
  });
});
