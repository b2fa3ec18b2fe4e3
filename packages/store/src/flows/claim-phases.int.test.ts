import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { memberId, newGroupId, type JobRef } from '@millrace/shared';
import { createDatabase, type Database } from '../database.ts';
import { claimedOf, createStoreFixture, LEASE_MS, newFlow, WORKER, type StoreFixture } from '../test-support/store-fixture.ts';
import { cancelFlow } from './cancel-flow.ts';
import { claimPhases } from './claim-phases.ts';
import { createFlows } from './create-flows.ts';
import { releasePhases } from './release-phases.ts';

let store: StoreFixture;
const claim = (jobs: readonly JobRef[], lease: { worker?: string; leaseMs?: number } = {}, database: Database = store.database) =>
  claimPhases(database.hot, jobs, { worker: lease.worker ?? WORKER, leaseMs: lease.leaseMs ?? LEASE_MS });

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

describe('a claim', () => {
  it('answers what the handler needs, starts the lease and the flow, and says so in events', async () => {
    const { flowId, phaseId, dispatches } = await store.make([[], []]);
    const outcome = await claim(dispatches);
    expect(claimedOf(outcome)[1]).toEqual({
      id: phaseId(1),
      flowId,
      workspace: 'default',
      flow: 'shape',
      version: 1,
      run: 1,
      name: 'p1',
      fence: 1,
      attempt: 1,
      attemptMax: 4,
      generation: 1,
      priority: 50,
      createdBy: 'test',
      interruptedAt: null,
      crashes: 0,
      input: { n: 1 },
      outputs: {},
      startedAt: expect.any(Date),
    });
    expect(await store.flow(flowId)).toMatchObject({ status: 'running', started_at: expect.any(Date) });
    const row = await store.phase(phaseId(0));
    expect(row).toMatchObject({ status: 'running', lease_owner: WORKER });
    expect(Math.abs((row.due_at?.getTime() ?? 0) - Date.now() - LEASE_MS)).toBeLessThan(2_000);
    expect((await store.story(flowId)).slice(3)).toEqual(['flow.started', 'phase.started p0', 'phase.started p1']);
    expect(outcome.events.map((event) => [event.seq, event.type, event.phase])).toEqual([
      [4, 'flow.started', null],
      [5, 'phase.started', 'p0'],
      [6, 'phase.started', 'p1'],
    ]);
  });

  it('hands over the results of what the phase needs, by name', async () => {
    const { phaseId } = await store.make([[], [], [0, 1]]);
    const [p0, p1] = await store.claim([phaseId(0), phaseId(1)]);
    if (p0 === undefined || p1 === undefined) throw new Error('not claimed');
    await store.complete([p0], { rows: 3 });
    await store.complete([p1], null);
    expect((await store.claim([phaseId(2)]))[0]?.outputs).toEqual({ p0: { rows: 3 }, p1: null });
  });

  it('mints a higher fence every time, whoever claims', async () => {
    const { phaseId } = await store.make([[]]);
    const fences: number[] = [];
    for (const worker of ['a', 'b', 'a']) {
      const [phase] = await store.claim([phaseId(0)], { worker });
      fences.push(phase?.fence ?? 0);
      await releasePhases(store.database.hot, [
        { id: phaseId(0), fence: phase?.fence ?? 0, outcome: 'interrupted', reason: 'test', delayMs: 0 },
      ]);
    }
    expect(fences).toEqual([1, 2, 3]);
  });

  it('starts the flow once, and tells every later claim in events all the same', async () => {
    const { flowId, phaseId } = await store.make([[], []]);
    await store.claim([phaseId(0)]);
    await store.claim([phaseId(1)]);
    expect((await store.story(flowId)).slice(3)).toEqual(['flow.started', 'phase.started p0', 'phase.started p1']);
  });
});

describe('a delivery that has nothing to claim', () => {
  it('is stale when a newer generation was dispatched since', async () => {
    const { phaseId } = await store.make([[]]);
    const [phase] = await store.claim([phaseId(0)]);
    await releasePhases(store.database.hot, [
      { id: phaseId(0), fence: phase?.fence ?? 0, outcome: 'interrupted', reason: 'test', delayMs: 0 },
    ]);
    expect((await claim([{ id: phaseId(0), generation: 1 }])).results).toEqual([{ kind: 'stale' }]);
    expect((await claim([{ id: phaseId(0), generation: 2 }])).results).toMatchObject([{ kind: 'claimed' }]);
  });

  it('is stale beside the newer generation in one batch', async () => {
    const { phaseId } = await store.make([[]]);
    const [phase] = await store.claim([phaseId(0)]);
    await releasePhases(store.database.hot, [
      { id: phaseId(0), fence: phase?.fence ?? 0, outcome: 'interrupted', reason: 'test', delayMs: 0 },
    ]);
    const { results } = await claim([1, 2, 3].map((generation) => ({ id: phaseId(0), generation })));
    expect(results.map((result) => result.kind)).toEqual(['stale', 'claimed', 'stale']);
  });

  it('comes later when the same delivery is twice in one batch', async () => {
    const { dispatches } = await store.make([[]]);
    const { results } = await claim([...dispatches, ...dispatches]);
    expect(results).toEqual([expect.objectContaining({ kind: 'claimed' }), { kind: 'not-yet', untilMs: expect.any(Number) }]);
  });

  it('comes later while a lease is alive, and says how long that is', async () => {
    const { dispatches } = await store.make([[]]);
    await claim(dispatches, { worker: 'other', leaseMs: 5_000 });
    const { results, events } = await claim(dispatches);
    expect(events).toEqual([]);
    expect(results).toEqual([{ kind: 'not-yet', untilMs: expect.any(Number) }]);
    const [result] = results;
    expect(result?.kind === 'not-yet' && result.untilMs > 3_000 && result.untilMs <= 5_000).toBe(true);
  });

  it('comes later when the time of a retry has not come', async () => {
    const { dispatches, phaseId } = await store.make([[]]);
    await store.sql("/* forged */ UPDATE millrace.phases SET status = 'retrying', due_at = now() + interval '1 minute' WHERE id = $1", [
      phaseId(0),
    ]);
    expect((await claim(dispatches)).results).toMatchObject([{ kind: 'not-yet' }]);
    await store.sql("UPDATE millrace.phases SET due_at = now() + interval '500 milliseconds' WHERE id = $1", [phaseId(0)]);
    expect((await claim(dispatches)).results).toMatchObject([{ kind: 'claimed' }]);
  });

  it('is stale when the phase waits for others, is done, or is gone', async () => {
    const { phaseId } = await store.make([[], [0]]);
    const done = await store.claim([phaseId(0)]);
    await store.complete(done);
    const pending = await store.make([[], [0]]);
    const jobs = [
      { id: phaseId(0), generation: 1 },
      { id: pending.phaseId(1), generation: 0 },
      { id: memberId(newGroupId(), 0), generation: 1 },
    ];
    expect((await claim(jobs)).results).toEqual([{ kind: 'stale' }, { kind: 'stale' }, { kind: 'stale' }]);
  });

  it.each(['cancelled', 'completed', 'failed', 'paused'])('is stale when the flow is %s, whatever its phases look like', async (status) => {
    const { flowId, dispatches, phaseId } = await store.make([[]]);
    await store.sql('/* forged */ UPDATE millrace.flows SET status = $2 WHERE id = $1', [flowId, status]);
    expect((await claim(dispatches)).results).toEqual([{ kind: 'stale' }]);
    expect(await store.phase(phaseId(0))).toMatchObject({ status: 'queued', fence: '0' });
  });

  it('is stale after a cancel', async () => {
    const { flowId, dispatches } = await store.make([[]]);
    await cancelFlow(store.database, { flowId, workspace: 'default', by: 'test' });
    expect((await claim(dispatches)).results).toEqual([{ kind: 'stale' }]);
  });

  it('does not spoil the claims beside it', async () => {
    const [one, other] = [await store.make([[]]), await store.make([[]])];
    const { results } = await claim([
      { id: one.phaseId(0), generation: 9 },
      ...other.dispatches,
      { id: memberId(newGroupId(), 0), generation: 1 },
    ]);
    expect(results.map((result) => result.kind)).toEqual(['stale', 'claimed', 'stale']);
  });
});

describe('claims from two workers at the same time', () => {
  it('give every phase to exactly one of them, in any order and without a deadlock', async () => {
    const other = createDatabase({ url: store.url, name: 'other', onError: () => undefined });
    const made = await createFlows(
      store.database.hot,
      Array.from({ length: 60 }, () => newFlow([[], [], [], [], []])),
    );
    const jobs = made.flatMap((one) => (one.kind === 'created' ? one.dispatches : []));
    const slices = (all: readonly JobRef[]) => Array.from({ length: 10 }, (_, n) => all.filter((_job, index) => index % 10 === n));
    const outcomes = await Promise.all([
      ...slices(jobs).map((slice) => claim(slice, { worker: 'a' })),
      ...slices(jobs.toReversed()).map((slice) => claim(slice, { worker: 'b' }, other)),
    ]);
    const claimed = outcomes
      .flatMap((outcome) => outcome.results)
      .flatMap((result) => (result.kind === 'claimed' ? [result.phase.id] : []));
    expect(claimed).toHaveLength(300);
    expect(new Set(claimed).size).toBe(300);
    for (const one of made.slice(0, 10)) if (one.kind === 'created') expect(await store.story(one.flowId)).toHaveLength(12);
    await other.close();
  });
});
