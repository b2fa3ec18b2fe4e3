// A worker that completes a phase goes on with one that this makes ready: claimed in the same statement, with everything its handler needs.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createStoreFixture, WORKER, type StoreFixture } from '../test-support/store-fixture.ts';
import { cancelFlow } from './cancel-flow.ts';
import type { ClaimedPhase } from './claim-phases.ts';
import { completePhases, type CompletionOutcome, type PhaseCompletion } from './complete-phases.ts';
import type { NewPhase } from './create-flows.ts';
import { readOutputs } from './read-outputs.ts';
import { eventually } from '@millrace/testing';

let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

const goOn = (phases: readonly ClaimedPhase[], changes: Partial<PhaseCompletion> = {}): Promise<CompletionOutcome> =>
  completePhases(
    store.database.hot,
    phases.map(({ id, fence, name }) => ({
      id,
      fence,
      worker: WORKER,
      outputJson: JSON.stringify(`${name} done`),
      continues: true,
      ...changes,
    })),
    { dispatch: true, leaseMs: 10_000 },
  );
const continuing = (
  flowId: string,
  first: ClaimedPhase | undefined,
  next: CompletionOutcome['continued'][number] | undefined,
): ClaimedPhase => {
  if (first === undefined || next === null || next === undefined) throw new Error(`flow ${flowId} was not gone on with`);
  return { ...first, ...next, startedAt: new Date(next.startedAt), outputs: {} };
};

describe('a completion that goes on', () => {
  it('claims the next phase, with a lease and a fence, and says so in events', async () => {
    const { flowId, phaseId } = await store.make([[], [0], [1]]);
    const outcome = await goOn(await store.claim([phaseId(0)]));
    expect(outcome.dispatches).toEqual([]);
    expect(outcome.continued).toEqual([
      {
        id: phaseId(1),
        name: 'p1',
        generation: 1,
        priority: 50,
        fence: 1,
        attempt: 1,
        attemptMax: 4,
        startedAt: expect.any(String),
      },
    ]);
    const row = await store.phase(phaseId(1));
    expect(row).toMatchObject({ status: 'running', lease_owner: WORKER, fence: '1', generation: 1, dispatched: true });
    expect((row.due_at?.getTime() ?? 0) - Date.now()).toBeGreaterThan(8_000);
    expect(await store.story(flowId)).toEqual([
      'flow.queued',
      'phase.queued p0',
      'flow.started',
      'phase.started p0',
      'phase.completed p0',
      'phase.queued p1',
      'phase.started p1',
    ]);
  });

  it('carries a flow to its end, each phase committed once', async () => {
    const { flowId, phaseId } = await store.make([[], [0], [1]]);
    const [first] = await store.claim([phaseId(0)]);
    let phase = first;
    for (let count = 0; count < 2; count += 1) {
      const [next] = (await goOn(phase === undefined ? [] : [phase])).continued;
      phase = continuing(flowId, first, next);
    }
    const last = await goOn(phase === undefined ? [] : [phase]);
    expect(last.continued).toEqual([null]);
    expect(await store.flow(flowId)).toMatchObject({ status: 'completed', phases_open: 0 });
    expect((await goOn(phase === undefined ? [] : [phase])).committed).toEqual([false]);
  });

  it('takes one of several and leaves the others to the queue', async () => {
    const { phaseId } = await store.make([[], [0], [0], [0]]);
    const outcome = await goOn(await store.claim([phaseId(0)]));
    expect(outcome.continued.map((next) => next?.id)).toEqual([phaseId(1)]);
    expect(outcome.dispatches.map((dispatch) => dispatch.id)).toEqual([phaseId(2), phaseId(3)]);
  });

  it('hands over the results of all needed phases, also of those committed in the same statement', async () => {
    const { phaseId } = await store.make([[], [], [], [0, 1, 2]]);
    const phases = await store.claim([phaseId(0), phaseId(1), phaseId(2)]);
    await goOn(phases.slice(0, 1));
    const outcome = await goOn(phases.slice(1));
    expect(outcome.continued.filter((next) => next !== null)).toEqual([
      expect.objectContaining({ id: phaseId(3), outputs: { p0: 'p0 done', p1: 'p1 done', p2: 'p2 done' } }),
    ]);
  });

  it('says that results are too large to come along', async () => {
    const { phaseId } = await store.make([[], [], [0, 1]]);
    const phases = await store.claim([phaseId(0), phaseId(1)]);
    const outcome = await goOn(phases, { outputJson: JSON.stringify('x'.repeat(200_000)) });
    expect(outcome.continued.find((next) => next !== null)).toMatchObject({ id: phaseId(2) });
  });

  it.each<[string, Partial<NewPhase>, string]>([
    ['waits for a signal', { signal: 'go' }, 'waiting'],
    ['has a rate limit', { rateKey: 'calls' }, 'queued'],
  ])('does not take a phase that %s', async (_, changes, status) => {
    const phases = [
      { name: 'p0', needs: [], dependants: [1], attemptMax: 4, signal: null, waitTimeoutMs: null },
      { name: 'p1', needs: [0], dependants: [], attemptMax: 4, signal: null, waitTimeoutMs: null, ...changes },
    ];
    const { phaseId } = await store.make([[], [0]], { phases });
    const outcome = await goOn(await store.claim([phaseId(0)]));
    expect(outcome.continued).toEqual([null]);
    expect(outcome.dispatches).toEqual([]);
    expect(await store.phase(phaseId(1))).toMatchObject({ status });
  });

  it('leaves a phase with a rate limit to the limit, whose key is looked at next', async () => {
    const phases = [
      { name: 'p0', needs: [], dependants: [1], attemptMax: 4, signal: null, waitTimeoutMs: null },
      { name: 'p1', needs: [0], dependants: [], attemptMax: 4, signal: null, waitTimeoutMs: null, rateKey: 'mails' },
    ];
    const { phaseId } = await store.make([[], [0]], { phases });
    await store.sql("DELETE FROM millrace.admissions WHERE key = 'mails'");
    await goOn(await store.claim([phaseId(0)]));
    expect(await store.sql('SELECT held FROM millrace.phases WHERE id = $1', [phaseId(1)])).toEqual([{ held: 'rate' }]);
    expect(await store.sql("SELECT kind FROM millrace.admissions WHERE key = 'mails'")).toEqual([{ kind: 'rate' }]);
  });

  it('goes on with nothing when the fence refused it', async () => {
    const { flowId, phaseId } = await store.make([[], [0]]);
    const phases = await store.claim([phaseId(0)]);
    await cancelFlow(store.database, { flowId, workspace: 'default', by: 'test' });
    expect(await goOn(phases)).toMatchObject({ committed: [false], continued: [null] });
    expect(await store.phase(phaseId(1))).toMatchObject({ status: 'cancelled' });
  });

  it('skips a phase whose condition said no, and goes on without its result', async () => {
    const { flowId, phaseId } = await store.make([[], [0]]);
    const outcome = await goOn(await store.claim([phaseId(0)]), { skipped: true });
    expect(outcome.continued[0]).toMatchObject({ id: phaseId(1) });
    expect(await store.phase(phaseId(0))).toMatchObject({ status: 'skipped', output: null, attempts: 0 });
    expect(await store.story(flowId)).toContain('phase.skipped p0');
  });
});

describe('a paused flow', () => {
  const pause = (flowId: string) => store.sql("UPDATE millrace.flows SET status = 'paused' WHERE id = $1", [flowId]);

  it('lets what runs finish and holds what that makes ready', async () => {
    const { flowId, phaseId } = await store.make([[], [0]]);
    const phases = await store.claim([phaseId(0)]);
    await pause(flowId);
    const outcome = await goOn(phases);
    expect(outcome).toMatchObject({ committed: [true], continued: [null], dispatches: [] });
    expect(await store.sql('SELECT status, held, dispatched FROM millrace.phases WHERE id = $1', [phaseId(1)])).toEqual([
      { status: 'queued', held: 'pause', dispatched: false },
    ]);
    expect(await store.flow(flowId)).toMatchObject({ status: 'paused' });
  });

  it('holds what is delivered, and that delivery is stale from then on', async () => {
    const { flowId, phaseId } = await store.make([[]]);
    await pause(flowId);
    await expect(store.claim([phaseId(0)])).rejects.toThrow();
    expect(await store.sql('SELECT status, held, dispatched, generation FROM millrace.phases WHERE id = $1', [phaseId(0)])).toEqual([
      { status: 'queued', held: 'pause', dispatched: false, generation: 2 },
    ]);
  });

  it('completes when its last phase was running', async () => {
    const { flowId, phaseId } = await store.make([[]]);
    const phases = await store.claim([phaseId(0)]);
    await pause(flowId);
    await goOn(phases);
    expect(await store.flow(flowId)).toMatchObject({ status: 'completed' });
  });
});

describe.each(['default', ''])('a queue that is paused for %j', (workspace) => {
  beforeAll(async () => {
    await store.sql("INSERT INTO millrace.queue_pauses (queue, workspace, paused_by) VALUES ('flow-phase', $1, 'test')", [workspace]);
  });

  afterAll(async () => {
    await store.sql('DELETE FROM millrace.queue_pauses');
  });

  it('sends what is delivered back to the backlog', async () => {
    const { phaseId } = await store.make([[]]);
    await expect(store.claim([phaseId(0)])).rejects.toThrow();
    expect(await store.sql('SELECT status, held, dispatched FROM millrace.phases WHERE id = $1', [phaseId(0)])).toEqual([
      { status: 'queued', held: null, dispatched: false },
    ]);
  });

  it('goes on with nothing', async () => {
    const { phaseId } = await store.make([[], [0]]);
    await store.sql("UPDATE millrace.queue_pauses SET until = now() - interval '1 second'");
    const phases = await store.claim([phaseId(0)]);
    await store.sql('UPDATE millrace.queue_pauses SET until = NULL');
    expect(await goOn(phases)).toMatchObject({ committed: [true], continued: [null], dispatches: [] });
  });
});

describe('a phase that needs several', () => {
  it('gets the results of all when the last two are committed by two statements at the same time', async () => {
    const { flowId, phaseId } = await store.make([[], [], [0, 1]]);
    const [first, second] = await store.claim([phaseId(0), phaseId(1)]);
    if (first === undefined || second === undefined) throw new Error('not claimed');
    const holder = await store.database.main.connect();
    try {
      await holder.query('BEGIN');
      await holder.query('SELECT FROM millrace.flows WHERE id = $1 FOR UPDATE', [flowId]);
      // Both begin, with their snapshots, before either may go on.
      const both = [goOn([first]), goOn([second])];
      await eventually(async () => {
        const waiting = await store.sql<{ count: number }>(
          "SELECT count(*)::int AS count FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
        );
        expect(waiting[0]?.count).toBe(2);
      });
      await holder.query('COMMIT');
      const next = (await Promise.all(both)).flatMap(({ continued }) => continued).filter((one) => one !== null);
      expect(next).toHaveLength(1);
      // Not all could be seen by the statement that went on, so the worker is told to read them.
      expect(next[0]?.outputs).toBeNull();
      expect(await readOutputs(store.database.main, phaseId(2))).toEqual({ kind: 'read', outputs: { p0: 'p0 done', p1: 'p1 done' } });
    } finally {
      holder.release();
    }
  });
});
