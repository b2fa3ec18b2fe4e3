import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createDatabase, type Database } from '../database.ts';
import { createStoreFixture, WORKER, type StoreFixture } from '../test-support/store-fixture.ts';
import { cancelFlow } from './cancel-flow.ts';
import type { ClaimedPhase } from './claim-phases.ts';
import { renewLeases } from './lease-phases.ts';
import { releasePhases, type PhaseRelease } from './release-phases.ts';

let store: StoreFixture;
let other: Database;

beforeAll(async () => {
  store = await createStoreFixture();
  other = createDatabase({ url: store.url, name: 'other', onError: () => undefined });
});

afterAll(async () => {
  await other.close();
  await store.close();
});

const release = (phases: readonly Pick<ClaimedPhase, 'id' | 'fence'>[], changes: Partial<PhaseRelease> = {}) =>
  releasePhases(
    store.database.hot,
    phases.map(({ id, fence }) => ({ id, fence, outcome: 'interrupted', reason: 'shutdown', delayMs: 0, ...changes })),
  );
const expireLease = (id: string) => store.sql("UPDATE millrace.phases SET due_at = now() - interval '1 second' WHERE id = $1", [id]);
const attemptsOf = (id: string) =>
  store.sql('SELECT attempt, outcome, worker FROM millrace.attempts WHERE phase_id = $1 ORDER BY fence', [id]);

describe('a phase that its worker gives back', () => {
  it('is queued again under a new generation at no cost, and events say why', async () => {
    const { flowId, phaseId } = await store.make([[]], { priority: 9 });
    const outcome = await release(await store.claim([phaseId(0)]), { delayMs: 1_500.4 });
    expect(outcome.released).toEqual([true]);
    expect(outcome.dispatches).toEqual([{ id: phaseId(0), generation: 2, workspace: 'default', priority: 9, attempts: 4, delayMs: 1_500 }]);
    expect(await store.phase(phaseId(0))).toMatchObject({
      status: 'queued',
      attempts: 0,
      crashes: 0,
      generation: 2,
      dispatched: true,
      lease_owner: null,
    });
    expect((await store.events(flowId)).at(-1)).toMatchObject({ type: 'phase.queued', phase: 'p0', data: { reason: 'shutdown' } });
    expect(await attemptsOf(phaseId(0))).toEqual([{ attempt: 1, outcome: 'interrupted', worker: WORKER }]);
    expect((await store.claim([phaseId(0)]))[0]).toMatchObject({ attempt: 1, fence: 2 });
  });

  it('is looked for only after its delay and the grace time', async () => {
    const { phaseId } = await store.make([[]]);
    await release(await store.claim([phaseId(0)]), { delayMs: 60_000 });
    expect(((await store.phase(phaseId(0))).due_at?.getTime() ?? 0) - Date.now()).toBeGreaterThan(63_000);
  });

  it('comes back more and more slowly when that happens again and again, up to once a minute', async () => {
    const { flowId, phaseId } = await store.make([[]]);
    const delays: (number | undefined)[] = [];
    for (let times = 0; times < 14; times += 1) {
      const { dispatches } = await release(await store.claim([phaseId(0)]), { delayMs: 100 });
      delays.push(dispatches[0]?.delayMs);
    }
    expect(delays).toEqual([100, 100, 100, 100, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    expect((await store.story(flowId)).filter((line) => line === 'phase.queued p0')).toHaveLength(15);
  });

  it('answers in the order asked, and numbers the events of one flow without a gap', async () => {
    const { flowId, phaseId } = await store.make([[], [], []]);
    const phases = await store.claim([phaseId(2), phaseId(0), phaseId(1)]);
    const forged = phases.map((phase, index) => ({ ...phase, fence: phase.fence + (index === 1 ? 1 : 0) }));
    expect((await release(forged)).released).toEqual([true, false, true]);
    expect((await store.story(flowId)).slice(-2)).toEqual(['phase.queued p1', 'phase.queued p2']);
  });

  it('is refused after a cancel, and a second time', async () => {
    const { flowId, phaseId } = await store.make([[], []]);
    const phases = await store.claim([phaseId(0), phaseId(1)]);
    expect((await release(phases.slice(0, 1))).released).toEqual([true]);
    expect((await release(phases.slice(0, 1))).released).toEqual([false]);
    await cancelFlow(store.database, { flowId, workspace: 'default', by: 'test' });
    expect(await release(phases)).toEqual({ released: [false, false], dispatches: [], events: [] });
  });
});

describe('a lease that is declared lost', () => {
  it('is refused while it is alive', async () => {
    const { phaseId } = await store.make([[]]);
    expect(await release(await store.claim([phaseId(0)]), { outcome: 'lost' })).toEqual({ released: [false], dispatches: [], events: [] });
    expect((await store.phase(phaseId(0))).status).toBe('running');
  });

  it('counts as a crash and not as an attempt when it has run out', async () => {
    const { flowId, phaseId } = await store.make([[]]);
    const phases = await store.claim([phaseId(0)]);
    await expireLease(phaseId(0));
    expect((await release(phases, { outcome: 'lost', reason: 'lease-expired' })).released).toEqual([true]);
    expect(await store.phase(phaseId(0))).toMatchObject({ status: 'queued', attempts: 0, crashes: 1 });
    expect(await attemptsOf(phaseId(0))).toMatchObject([{ outcome: 'lost' }]);
    expect((await store.events(flowId)).at(-1)).toMatchObject({ data: { reason: 'lease-expired' } });
  });

  it.each([
    ['has announced itself since the end of its lease', { seen: 'now()', stopping: false }, 0],
    ['said that it stops', { seen: "now() - interval '1 hour'", stopping: true }, 0],
    ['has been silent since', { seen: "now() - interval '2 seconds'", stopping: false }, 1],
  ])('when its worker %2$s counts so many crashes', async (_, { seen, stopping }, crashes) => {
    const { flowId, phaseId } = await store.make([[]]);
    const phases = await store.claim([phaseId(0)], { worker: `judged-${crashes}-${stopping}` });
    await store.sql(
      `INSERT INTO millrace.workers (id, host, pid, started_at, seen_at, concurrency, running, stopping, queues, definitions)
       VALUES ($1, 'here', 1, now(), ${seen}, 1, 1, $2, '{}', '[]')`,
      [`judged-${crashes}-${stopping}`, stopping],
    );
    await expireLease(phaseId(0));
    expect((await release(phases, { outcome: 'lost', reason: 'lease-expired' })).released).toEqual([true]);
    expect(await store.phase(phaseId(0))).toMatchObject({ status: 'queued', attempts: 0, crashes });
    expect(await attemptsOf(phaseId(0))).toMatchObject([{ outcome: crashes === 0 ? 'interrupted' : 'lost' }]);
    expect((await store.events(flowId)).at(-1)).toMatchObject({ data: { reason: 'lease-expired' } });
  });

  it('shuts the worker out that had it', async () => {
    const { phaseId } = await store.make([[]]);
    const phases = await store.claim([phaseId(0)]);
    await expireLease(phaseId(0));
    await release(phases, { outcome: 'lost' });
    await store.claim([phaseId(0)], { worker: 'other' });
    expect((await store.complete(phases, 'zombie')).committed).toEqual([false]);
    expect(await renewLeases(store.database.hot, phases, { worker: WORKER, leaseMs: 10_000 })).toEqual(new Map());
    expect(await store.phase(phaseId(0))).toMatchObject({ status: 'running', lease_owner: 'other', output: null });
  });

  it('is written once when two processes find it', async () => {
    const { flowId, phaseId } = await store.make([[]]);
    const phases = await store.claim([phaseId(0)]);
    await expireLease(phaseId(0));
    const lost = phases.map(({ id, fence }) => ({ id, fence, outcome: 'lost' as const, reason: 'lease-expired', delayMs: 0 }));
    const outcomes = await Promise.all([store.database, other, store.database, other].map((database) => releasePhases(database.hot, lost)));
    expect(outcomes.flatMap((outcome) => outcome.released).filter(Boolean)).toHaveLength(1);
    expect(await store.phase(phaseId(0))).toMatchObject({ crashes: 1, generation: 2 });
    expect(await store.story(flowId)).toHaveLength(5);
  });
});

describe('renewal of leases', () => {
  const renew = (phases: readonly Pick<ClaimedPhase, 'id' | 'fence'>[], worker = WORKER) =>
    renewLeases(store.database.hot, phases, { worker, leaseMs: 60_000 });

  it('puts the end off for what is held, and tells of the rest by leaving them out', async () => {
    const { phaseId } = await store.make([[], [], [], []]);
    const phases = await store.claim([0, 1, 2, 3].map(phaseId));
    const [held, forged, completed] = phases;
    if (held === undefined || forged === undefined || completed === undefined) throw new Error('not claimed');
    await store.complete([completed]);
    const alive = await renew([held, { ...forged, fence: forged.fence + 1 }, completed]);
    expect(alive).toEqual(new Map([[held.id, 'renewed']]));
    const remaining = async (n: number) => ((await store.phase(phaseId(n))).due_at?.getTime() ?? 0) - Date.now();
    expect(await remaining(0)).toBeGreaterThan(50_000);
    expect(await remaining(1)).toBeLessThan(11_000);
  });

  it('is only for the worker that has the lease', async () => {
    const { phaseId } = await store.make([[]]);
    expect(await renew(await store.claim([phaseId(0)]), 'other')).toEqual(new Map());
  });

  it('passes over a row that someone holds just now, without waiting, and says so', async () => {
    const { phaseId } = await store.make([[], []]);
    const phases = await store.claim([phaseId(0), phaseId(1)]);
    const before = (await store.phase(phaseId(0))).due_at;
    await other.transaction(async (client) => {
      await client.query('SELECT FROM millrace.phases WHERE id = $1 FOR UPDATE', [phaseId(0)]);
      expect(await renew(phases)).toEqual(
        new Map([
          [phaseId(0), 'busy'],
          [phaseId(1), 'renewed'],
        ]),
      );
    });
    expect((await store.phase(phaseId(0))).due_at).toEqual(before);
    expect(((await store.phase(phaseId(1))).due_at?.getTime() ?? 0) - Date.now()).toBeGreaterThan(50_000);
  });

  it('asks nothing for nothing', async () => {
    expect(await renew([])).toEqual(new Map());
  });
});
