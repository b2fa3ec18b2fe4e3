// Pause and resume of flows: what is held, what goes on, and what a flow goes back to.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createStoreFixture, WORKER, type MadeFlow, type StoreFixture } from '../test-support/store-fixture.ts';
import { overdueWaits, takeBacklog } from './backlog.ts';
import { cancelFlow } from './cancel-flow.ts';
import { claimPhases } from './claim-phases.ts';
import type { NewFlow } from './create-flows.ts';
import { failOverdueWait } from './fail-phase.ts';
import { pauseFlow, resumeDuePauses, resumeFlow } from './pause-flow.ts';
import { readFlow } from './read-flow.ts';
import { deliverKept, sendSignal, undeliveredSignals } from './signals.ts';

let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

const HOUR_MS = 3_600_000;
const inFuture = (ms = HOUR_MS) => new Date(Date.now() + ms);
const pause = ({ flowId }: Pick<MadeFlow, 'flowId'>, until: Date | null = null, workspace = 'default') =>
  pauseFlow(store.database, { flowId, workspace, by: 'someone', reason: 'a look', until });
const resume = ({ flowId }: Pick<MadeFlow, 'flowId'>, workspace = 'default') =>
  resumeFlow(store.database, { flowId, workspace, by: 'another' });
type Details = { held: string | null; rate_key: string | null };
type FlowDetails = { pause: Record<string, unknown> | null; due_at: Date | null };
const phase = async (id: string) => (await store.phase(id)) as Awaited<ReturnType<StoreFixture['phase']>> & Details;
const flowRow = async (id: string) => (await store.flow(id)) as Awaited<ReturnType<StoreFixture['flow']>> & FlowDetails;
const waitPhase = (waitTimeoutMs: number | null = null): NewFlow['phases'] => [
  { name: 'p0', needs: [], dependants: [1], attemptMax: 1, signal: 'go', waitTimeoutMs },
  { name: 'p1', needs: [0], dependants: [], attemptMax: 4, signal: null, waitTimeoutMs: null },
];
const admissions = () => store.sql<{ kind: string; key: string }>('SELECT kind, key FROM millrace.admissions ORDER BY kind, key');

describe('pauseFlow', () => {
  it('holds what is queued and makes its jobs stale; what runs finishes', async () => {
    const flow = await store.make([[], [], []]);
    const [running] = await store.claim([flow.phaseId(0)]);
    const job = { id: flow.phaseId(1), generation: 1 };
    const until = inFuture();
    expect(await pause(flow, until)).toMatchObject({
      kind: 'done',
      events: [{ type: 'flow.paused', data: { by: 'someone', reason: 'a look', until: until.toISOString() } }],
    });
    expect(await phase(job.id)).toMatchObject({ status: 'queued', held: 'pause', generation: 2, dispatched: false, due_at: null });
    expect((await claimPhases(store.database.hot, [job], { worker: WORKER, leaseMs: 1_000 })).results).toEqual([{ kind: 'stale' }]);
    expect((await store.complete(running === undefined ? [] : [running])).committed).toEqual([true]);
    expect(await flowRow(flow.flowId)).toMatchObject({ status: 'paused', due_at: until, phases_open: 2 });
    const read = await readFlow(store.database.main, { flowId: flow.flowId, workspace: 'default' });
    expect(read?.flow.pause).toMatchObject({ by: 'someone', reason: 'a look' });
  });

  it('keeps a start time that lies ahead, and out of the backlog after it', async () => {
    const runAt = inFuture();
    const flow = await store.make([[]], { runAt: runAt.toISOString() });
    await pause(flow);
    expect(await phase(flow.phaseId(0))).toMatchObject({ held: 'pause', due_at: runAt, generation: 0 });
    await resume(flow);
    expect(await phase(flow.phaseId(0))).toMatchObject({ held: null, due_at: runAt });
  });

  it('is refused on a paused flow and on one that has ended, and finds nothing elsewhere', async () => {
    const [paused, ended] = [await store.make([[]]), await store.make([[]])];
    await pause(paused);
    await store.complete(await store.claim([ended.phaseId(0)]));
    expect(await pause(paused)).toEqual({ kind: 'refused', status: 'paused' });
    expect(await pause(ended)).toEqual({ kind: 'refused', status: 'completed' });
    expect(await pause(await store.make([[]]), null, 'elsewhere')).toEqual({ kind: 'not-found' });
  });

  it('ends as completed when all that is left finishes', async () => {
    const flow = await store.make([[]]);
    const claimed = await store.claim([flow.phaseId(0)]);
    await pause(flow);
    await store.complete(claimed);
    expect(await flowRow(flow.flowId)).toMatchObject({ status: 'completed' });
    expect((await store.story(flow.flowId)).slice(-2)).toEqual(['phase.completed p0', 'flow.completed']);
  });

  it('does not keep a flow from being cancelled', async () => {
    const flow = await store.make([[]]);
    await pause(flow, inFuture());
    expect(await cancelFlow(store.database, { flowId: flow.flowId, workspace: 'default', by: 'x' })).toMatchObject({ kind: 'done' });
    expect(await flowRow(flow.flowId)).toMatchObject({ status: 'cancelled', pause: null, due_at: null });
  });

  it('happens once for two requests at the same time', async () => {
    const flow = await store.make([[]]);
    const outcomes = await Promise.all([pause(flow), pause(flow)]);
    expect(outcomes.map(({ kind }) => kind).toSorted()).toEqual(['done', 'refused']);
  });
});

describe('resumeFlow', () => {
  it('puts what was held back into the backlog, and the flow back where it was', async () => {
    const [fresh, begun] = [await store.make([[]]), await store.make([[], []])];
    await store.claim([begun.phaseId(0)]);
    for (const flow of [fresh, begun]) await pause(flow);
    expect(await resume(fresh)).toMatchObject({
      kind: 'done',
      events: [{ type: 'flow.resumed', data: { by: 'another', reason: 'a look', until: null } }],
      dispatches: [],
    });
    await resume(begun);
    expect([(await flowRow(fresh.flowId)).status, (await flowRow(begun.flowId)).status]).toEqual(['queued', 'running']);
    const taken = (await takeBacklog(store.database.hot, [{ workspace: 'default', count: 1_000 }])).map(({ id }) => id);
    expect(taken).toEqual(expect.arrayContaining([fresh.phaseId(0), begun.phaseId(1)]));
    expect(await flowRow(fresh.flowId)).toMatchObject({ pause: null });
    await store.complete(await store.claim([fresh.phaseId(0)]));
    expect(await store.story(fresh.flowId)).toEqual([
      'flow.queued',
      'phase.queued p0',
      'flow.paused',
      'flow.resumed',
      'flow.started',
      'phase.started p0',
      'phase.completed p0',
      'flow.completed',
    ]);
  });

  it('brings what a limit decides about before it again', async () => {
    const rated: NewFlow['phases'] = [
      { name: 'p0', needs: [], dependants: [], attemptMax: 1, signal: null, waitTimeoutMs: null, rateKey: 'mail' },
    ];
    const [keyed, limited] = [
      await store.make([[]], { extras: { concurrency: { key: 'account', limit: 1 } } }),
      await store.make([[]], { phases: rated }),
    ];
    for (const flow of [keyed, limited]) await pause(flow);
    await store.sql('DELETE FROM millrace.admissions');
    for (const flow of [keyed, limited]) await resume(flow);
    expect([(await phase(keyed.phaseId(0))).held, (await phase(limited.phaseId(0))).held]).toEqual(['limit', 'rate']);
    expect(await admissions()).toEqual([
      { kind: 'limit', key: 'account' },
      { kind: 'rate', key: 'mail' },
    ]);
  });

  it('goes back to the time limit that was running', async () => {
    const expiresAt = inFuture();
    const flow = await store.make([[]], { extras: { expiresAt: expiresAt.toISOString() } });
    await pause(flow, inFuture(60_000));
    await resume(flow);
    expect((await flowRow(flow.flowId)).due_at).toEqual(expiresAt);
  });

  it('is refused on a flow that is not paused', async () => {
    const flow = await store.make([[]]);
    expect(await resume(flow)).toEqual({ kind: 'refused', status: 'queued' });
    expect(await resume(flow, 'elsewhere')).toEqual({ kind: 'not-found' });
  });
});

describe('signals of a paused flow', () => {
  it('are kept, and delivered when it is resumed', async () => {
    const flow = await store.make([], { phases: waitPhase() });
    await pause(flow);
    const sent = await sendSignal(store.database, { flowId: flow.flowId, workspace: 'default', name: 'go', bodyJson: '"yes"', by: 'x' });
    expect(sent).toMatchObject({ kind: 'sent', dispatches: [], events: [] });
    expect(await undeliveredSignals(store.database.main, 10)).toEqual([]);
    expect(await deliverKept(store.database, { flowId: flow.flowId, name: 'go' })).toEqual({ dispatches: [], events: [] });
    expect(await resume(flow)).toMatchObject({ kind: 'done', dispatches: [{ id: flow.phaseId(1) }] });
    expect(await phase(flow.phaseId(0))).toMatchObject({ status: 'completed', output: 'yes' });
    expect((await flowRow(flow.flowId)).status).toBe('running');
  });

  it('may come as long as it is paused: a wait that runs out meanwhile fails only after it was resumed', async () => {
    const [silent, answered] = [await store.make([], { phases: waitPhase(1) }), await store.make([], { phases: waitPhase(1) })];
    for (const flow of [silent, answered]) {
      await pause(flow);
      await store.sql("UPDATE millrace.phases SET due_at = now() - interval '1 minute' WHERE id = $1", [flow.phaseId(0)]);
      expect(await failOverdueWait(store.database, flow.phaseId(0))).toEqual({ committed: false, events: [] });
    }
    expect(await overdueWaits(store.database.hot, 10)).toEqual([]);
    await sendSignal(store.database, { flowId: answered.flowId, workspace: 'default', name: 'go', bodyJson: '1', by: 'x' });
    for (const flow of [silent, answered]) await resume(flow);
    expect((await phase(answered.phaseId(0))).status).toBe('completed');
    const { due_at: dueAt, status } = await phase(silent.phaseId(0));
    expect(status).toBe('waiting');
    expect(dueAt?.getTime()).toBeLessThanOrEqual(Date.now() + 1_500);
    await store.sql('UPDATE millrace.phases SET due_at = now() WHERE id = $1', [silent.phaseId(0)]);
    expect(await failOverdueWait(store.database, silent.phaseId(0))).toMatchObject({ committed: true });
  });
});

describe('resumeDuePauses', () => {
  it('resumes what has reached its end, once, and nothing else', async () => {
    const [due, later] = [await store.make([[]]), await store.make([[]])];
    await pause(due, inFuture());
    await pause(later, inFuture());
    await store.sql("UPDATE millrace.flows SET due_at = now() - interval '1 second' WHERE id = $1", [due.flowId]);
    const both = await Promise.all([resumeDuePauses(store.database, 10), resumeDuePauses(store.database, 10)]);
    expect(both.flatMap(({ events }) => events)).toMatchObject([{ subjectId: due.flowId, type: 'flow.resumed', data: { by: 'clock' } }]);
    expect([(await flowRow(due.flowId)).status, (await flowRow(later.flowId)).status]).toEqual(['queued', 'paused']);
    expect(await resumeDuePauses(store.database, 10)).toEqual({ count: 0, events: [], dispatches: [] });
  });
});
