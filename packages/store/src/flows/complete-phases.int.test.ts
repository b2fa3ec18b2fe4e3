import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createDatabase } from '../database.ts';
import { createStoreFixture, newFlow, WORKER, type StoreFixture } from '../test-support/store-fixture.ts';
import { cancelFlow } from './cancel-flow.ts';
import { claimPhases, type ClaimedPhase } from './claim-phases.ts';
import { completePhases } from './complete-phases.ts';
import { createFlows } from './create-flows.ts';
import { failPhase } from './fail-phase.ts';

let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

const fail = ({ id, fence }: ClaimedPhase) =>
  failPhase(store.database, { id, fence, worker: WORKER, error: { code: 'Error', message: 'no' }, retryDelayMs: null });

describe('a completion', () => {
  it('keeps the output, counts the attempt and ends the flow with its last phase', async () => {
    const { flowId, phaseId } = await store.make([[]]);
    const outcome = await store.complete(await store.claim([phaseId(0)]), { rows: 3 });
    expect(outcome).toMatchObject({ committed: [true], dispatches: [] });
    expect(outcome.events.map((event) => [event.seq, event.type])).toEqual([
      [5, 'phase.completed'],
      [6, 'flow.completed'],
    ]);
    expect(await store.phase(phaseId(0))).toMatchObject({
      status: 'completed',
      output: { rows: 3 },
      attempts: 1,
      due_at: null,
      lease_owner: WORKER,
      finished_at: expect.any(Date),
    });
    expect(await store.flow(flowId)).toMatchObject({ status: 'completed', phases_open: 0, finished_at: expect.any(Date) });
    expect(await store.story(flowId)).toEqual([
      'flow.queued',
      'phase.queued p0',
      'flow.started',
      'phase.started p0',
      'phase.completed p0',
      'flow.completed',
    ]);
  });

  it('frees what waited for it and answers what may go to the queue', async () => {
    const { phaseId } = await store.make([[], [0], [0]], { priority: 3 });
    const { dispatches } = await store.complete(await store.claim([phaseId(0)]));
    expect(dispatches.toSorted((a, b) => (a.id < b.id ? -1 : 1))).toEqual(
      [1, 2].map((n) => ({ id: phaseId(n), generation: 1, workspace: 'default', priority: 3, attempts: 4, delayMs: 0 })),
    );
    expect(await store.phase(phaseId(1))).toMatchObject({ status: 'queued', dispatched: true, needs_open: 0, due_at: expect.any(Date) });
  });

  it('leaves what it frees to the backlog when it may not dispatch', async () => {
    const { phaseId } = await store.make([[], [0]]);
    const [phase] = await store.claim([phaseId(0)]);
    const { dispatches } = await completePhases(
      store.database.hot,
      [{ id: phaseId(0), fence: phase?.fence ?? 0, worker: WORKER, outputJson: '1' }],
      { dispatch: false },
    );
    expect(dispatches).toEqual([]);
    expect(await store.phase(phaseId(1))).toMatchObject({ status: 'queued', dispatched: false, due_at: null, generation: 0 });
  });

  it('sends only the first hundred of a wide fan-out straight to the queue', async () => {
    const { flowId, phaseId } = await store.make([[], ...Array.from({ length: 150 }, () => [0])]);
    const { dispatches } = await store.complete(await store.claim([phaseId(0)]));
    expect(dispatches).toHaveLength(100);
    const queued = await store.sql(
      "SELECT count(*)::int AS all, (count(*) FILTER (WHERE NOT dispatched AND due_at IS NULL))::int AS backlog FROM millrace.phases WHERE flow_id = $1 AND status = 'queued'",
      [flowId],
    );
    expect(queued).toEqual([{ all: 150, backlog: 50 }]);
    expect(await store.story(flowId)).toHaveLength(2 + 2 + 1 + 150);
  });
});

describe("a completion that is not its worker's to write", () => {
  it.each<[string, (phase: ClaimedPhase) => { fence: number; worker: string }]>([
    ['an older fence', (phase) => ({ fence: phase.fence - 1, worker: WORKER })],
    ['a fence that was never minted', (phase) => ({ fence: phase.fence + 1, worker: WORKER })],
    ['another worker', (phase) => ({ fence: phase.fence, worker: 'other' })],
  ])('is refused for %s and changes nothing', async (_, forge) => {
    const { flowId, phaseId } = await store.make([[], [0]]);
    const [phase] = await store.claim([phaseId(0)]);
    if (phase === undefined) throw new Error('not claimed');
    const before = [await store.story(flowId), await store.phase(phaseId(0))];
    const outcome = await completePhases(store.database.hot, [{ id: phase.id, outputJson: '1', ...forge(phase) }], { dispatch: true });
    expect(outcome).toEqual({
      committed: [false],
      continued: [null],
      dispatches: [],
      subjects: [],
      events: [],
      endedChildren: false,
      admissions: false,
    });
    expect([await store.story(flowId), await store.phase(phaseId(0))]).toEqual(before);
  });

  it('is refused the second time', async () => {
    const { flowId, phaseId } = await store.make([[], [0]]);
    const phases = await store.claim([phaseId(0)]);
    expect((await store.complete(phases)).committed).toEqual([true]);
    expect(await store.complete(phases, 'second')).toEqual({
      committed: [false],
      continued: [null],
      dispatches: [],
      subjects: [],
      events: [],
      endedChildren: false,
      admissions: false,
    });
    expect(await store.flow(flowId)).toMatchObject({ phases_open: 1 });
  });

  it('is refused after a cancel', async () => {
    const { flowId, phaseId } = await store.make([[]]);
    const phases = await store.claim([phaseId(0)]);
    await cancelFlow(store.database, { flowId, workspace: 'default', by: 'test' });
    expect((await store.complete(phases)).committed).toEqual([false]);
    expect((await store.story(flowId)).at(-1)).toBe('flow.cancelled');
  });

  it('does not keep those beside it from being written', async () => {
    const [one, other] = [await store.make([[]]), await store.make([[]])];
    const phases = await store.claim([one.phaseId(0), other.phaseId(0)]);
    const forged = phases.map((phase, index) => ({ ...phase, fence: phase.fence + (index === 0 ? 1 : 0) }));
    expect((await store.complete(forged)).committed).toEqual([false, true]);
    expect([(await store.flow(one.flowId)).status, (await store.flow(other.flowId)).status]).toEqual(['running', 'completed']);
  });
});

describe('phases that come together', () => {
  it('join once in a diamond, when both sides end in one batch', async () => {
    const { flowId, phaseId } = await store.make([[], [0], [0], [1, 2]]);
    await store.complete(await store.claim([phaseId(0)]));
    const outcome = await store.complete(await store.claim([phaseId(1), phaseId(2)]));
    expect(outcome.dispatches.map((dispatch) => dispatch.id)).toEqual([phaseId(3)]);
    expect((await store.story(flowId)).slice(-3)).toEqual(['phase.completed p1', 'phase.completed p2', 'phase.queued p3']);
  });

  it('join once in a diamond, when both sides end at the same time on two connections', async () => {
    const other = createDatabase({ url: store.url, name: 'other', onError: () => undefined });
    for (let round = 0; round < 20; round += 1) {
      const { flowId, phaseId } = await store.make([[], [], [0, 1]]);
      const [p0, p1] = await store.claim([phaseId(0), phaseId(1)]);
      if (p0 === undefined || p1 === undefined) throw new Error('not claimed');
      const outcomes = await Promise.all([
        store.complete([p0]),
        completePhases(other.hot, [{ id: p1.id, fence: p1.fence, worker: WORKER, outputJson: '1' }], { dispatch: true }),
      ]);
      expect(outcomes.flatMap((outcome) => outcome.dispatches.map((dispatch) => dispatch.id))).toEqual([phaseId(2)]);
      expect((await store.story(flowId)).filter((line) => line === 'phase.queued p2')).toHaveLength(1);
    }
    await other.close();
  });

  it('join once in a fan-in of 200, completed by many statements at the same time', async () => {
    const width = 200;
    const { flowId, phaseId } = await store.make([...Array.from({ length: width }, () => []), Array.from({ length: width }, (_, n) => n)]);
    const phases = await store.claim(Array.from({ length: width }, (_, n) => phaseId(n)));
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, n) => store.complete(phases.filter((_phase, index) => index % 20 === n))),
    );
    expect(outcomes.flatMap((outcome) => outcome.committed)).toEqual(phases.map(() => true));
    expect(outcomes.flatMap((outcome) => outcome.dispatches).map((dispatch) => dispatch.id)).toEqual([phaseId(width)]);
    expect(await store.phase(phaseId(width))).toMatchObject({ status: 'queued', needs_open: 0 });
    const story = await store.story(flowId);
    expect(story).toHaveLength(1 + width + 1 + width + width + 1);
    expect(story.at(-1)).toBe(`phase.queued p${width}`);
  });
});

describe('a flow of which a phase failed', () => {
  it('goes on with its other branches and is failed in the end', async () => {
    const { flowId, phaseId } = await store.make([[], [], [1]]);
    const [p0, p1] = await store.claim([phaseId(0), phaseId(1)]);
    if (p0 === undefined || p1 === undefined) throw new Error('not claimed');
    await fail(p0);
    expect(await store.flow(flowId)).toMatchObject({ status: 'running', phases_open: 2, phases_failed: 1 });
    await store.complete([p1]);
    const outcome = await store.complete(await store.claim([phaseId(2)]));
    expect(outcome.events.at(-1)).toMatchObject({ type: 'flow.failed' });
    expect(await store.flow(flowId)).toMatchObject({
      status: 'failed',
      phases_open: 0,
      error: { phase: 'p0', code: 'Error', message: 'no' },
    });
  });

  it('never frees a join that was skipped, also when the failure and the other side come at the same time', async () => {
    for (let round = 0; round < 20; round += 1) {
      const { flowId, phaseId } = await store.make([[], [], [0, 1]]);
      const [p0, p1] = await store.claim([phaseId(0), phaseId(1)]);
      if (p0 === undefined || p1 === undefined) throw new Error('not claimed');
      const [, outcome] = await Promise.all([fail(p0), store.complete([p1])]);
      expect(outcome.dispatches).toEqual([]);
      expect(await store.phase(phaseId(2))).toMatchObject({ status: 'skipped' });
      expect(await store.flow(flowId)).toMatchObject({ status: 'failed', phases_open: 0 });
      expect((await store.story(flowId)).filter((line) => line === 'flow.failed')).toHaveLength(1);
    }
  });
});

describe('completions of many flows at the same time', () => {
  it('leave every log without a gap and with one end', async () => {
    const made = await createFlows(
      store.database.hot,
      Array.from({ length: 40 }, () => newFlow([[], [], [], []])),
    );
    const flows = made.flatMap((one) => (one.kind === 'created' ? [one] : []));
    const jobs = flows.flatMap((flow) => flow.dispatches);
    const { results } = await claimPhases(store.database.hot, jobs, { worker: WORKER, leaseMs: 10_000 });
    const phases = results.flatMap((result) => (result.kind === 'claimed' ? [result.phase] : []));
    await Promise.all(Array.from({ length: 16 }, (_, n) => store.complete(phases.filter((_phase, index) => (index * 7) % 16 === n))));
    for (const flow of flows) {
      const story = await store.story(flow.flowId);
      expect(story.filter((line) => line === 'flow.completed')).toEqual([story.at(-1)]);
    }
  });

  it('are refused as a whole for one bad output, and written one by one without it', async () => {
    const flows = [await store.make([[]]), await store.make([[]])];
    const phases = await store.claim(flows.map((flow) => flow.phaseId(0)));
    const completions = phases.map(({ id, fence }, index) => ({ id, fence, worker: WORKER, outputJson: index === 0 ? '"\\u0000"' : '1' }));
    await expect(completePhases(store.database.hot, completions, { dispatch: true })).rejects.toMatchObject({ code: '22P05' });
    expect((await completePhases(store.database.hot, completions.slice(1), { dispatch: true })).committed).toEqual([true]);
    expect((await store.phase(flows[0]?.phaseId(0) ?? '')).status).toBe('running');
  });
});
