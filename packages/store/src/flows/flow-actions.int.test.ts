// Cancel and retry, and what they leave behind.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newGroupId } from '@millrace/shared';
import { createStoreFixture, WORKER, type MadeFlow, type StoreFixture } from '../test-support/store-fixture.ts';
import { takeBacklog } from './backlog.ts';
import { cancelFlow } from './cancel-flow.ts';
import { failPhase } from './fail-phase.ts';
import { retryFlow } from './retry-flow.ts';
import { eventually } from '@millrace/testing';
import { readSteps, saveSteps, type NewStep } from './steps.ts';

let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

const cancel = ({ flowId }: Pick<MadeFlow, 'flowId'>, workspace = 'default') =>
  cancelFlow(store.database, { flowId, workspace, by: 'someone' });
const retry = ({ flowId }: Pick<MadeFlow, 'flowId'>, workspace = 'default') => retryFlow(store.database, { flowId, workspace });
const statuses = async (flow: MadeFlow, count: number) =>
  Promise.all(Array.from({ length: count }, async (_, n) => (await store.phase(flow.phaseId(n))).status));

/** Fails the phase for good. */
async function fail(id: string): Promise<void> {
  const [phase] = await store.claim([id]);
  await failPhase(store.database, {
    id,
    fence: phase?.fence ?? 0,
    worker: WORKER,
    error: { code: 'Error', message: 'no' },
    retryDelayMs: null,
  });
}

describe('cancelFlow', () => {
  it('ends the flow and every open phase at once, and keeps what was done', async () => {
    const flow = await store.make([[], [], [0], [2]]);
    await store.complete(await store.claim([flow.phaseId(0)]), 'kept');
    await store.claim([flow.phaseId(1)]);
    const outcome = await cancel(flow);
    expect(outcome).toMatchObject({ kind: 'done', events: [{ type: 'flow.cancelled', data: { by: 'someone' } }] });
    expect(await statuses(flow, 4)).toEqual(['completed', 'cancelled', 'cancelled', 'cancelled']);
    expect(await store.phase(flow.phaseId(1))).toMatchObject({ lease_owner: null, due_at: null });
    expect(await store.phase(flow.phaseId(0))).toMatchObject({ output: 'kept' });
    expect(await store.flow(flow.flowId)).toMatchObject({ status: 'cancelled', phases_open: 0, finished_at: expect.any(Date) });
    expect((await store.story(flow.flowId)).at(-1)).toBe('flow.cancelled');
    expect(await store.sql('SELECT outcome, worker FROM millrace.attempts WHERE phase_id = $1', [flow.phaseId(1)])).toEqual([
      { outcome: 'cancelled', worker: WORKER },
    ]);
  });

  it('is refused on a flow that has ended, naming the status', async () => {
    const [completed, failed, cancelled] = [await store.make([[]]), await store.make([[]]), await store.make([[]])];
    await store.complete(await store.claim([completed.phaseId(0)]));
    await fail(failed.phaseId(0));
    await cancel(cancelled);
    expect([await cancel(completed), await cancel(failed), await cancel(cancelled)]).toEqual(
      ['completed', 'failed', 'cancelled'].map((status) => ({ kind: 'refused', status })),
    );
  });

  it('finds nothing in another workspace, or where nothing is', async () => {
    const flow = await store.make([[]]);
    expect([await cancel(flow, 'other'), await cancel({ flowId: newGroupId() })]).toEqual([{ kind: 'not-found' }, { kind: 'not-found' }]);
    expect((await store.flow(flow.flowId)).status).toBe('queued');
  });

  it('wins or loses against a completion at the same time, but never both', async () => {
    for (let round = 0; round < 20; round += 1) {
      const flow = await store.make([[]]);
      const phases = await store.claim([flow.phaseId(0)]);
      const [outcome, completion] = await Promise.all([cancel(flow), store.complete(phases)]);
      expect(completion.committed).toEqual([outcome.kind === 'refused']);
      const story = await store.story(flow.flowId);
      expect(story.filter((line) => ['flow.completed', 'flow.cancelled'].includes(line))).toEqual([story.at(-1)]);
    }
  });
});

describe('retryFlow', () => {
  it('opens a new run in which what failed or was skipped starts over and what was completed stays', async () => {
    const flow = await store.make([[], [], [0, 1], [2]]);
    await store.complete(await store.claim([flow.phaseId(0)]), 'kept');
    await fail(flow.phaseId(1));
    const outcome = await retry(flow);
    expect(outcome).toMatchObject({
      kind: 'done',
      events: [
        { type: 'flow.queued', data: { run: 2 } },
        { type: 'phase.queued', phase: 'p1' },
      ],
    });
    expect(await statuses(flow, 4)).toEqual(['completed', 'queued', 'pending', 'pending']);
    expect(await store.flow(flow.flowId)).toMatchObject({
      status: 'queued',
      run: 2,
      phases_open: 3,
      phases_failed: 0,
      error: null,
      finished_at: null,
    });
    expect(await store.phase(flow.phaseId(1))).toMatchObject({ attempts: 0, error: null, finished_at: null });
    expect(await store.phase(flow.phaseId(2))).toMatchObject({ needs_open: 1 });
  });

  it('comes to a good end, with events that go on numbering', async () => {
    const flow = await store.make([[], [], [0, 1]]);
    await store.complete(await store.claim([flow.phaseId(0)]), 'kept');
    await fail(flow.phaseId(1));
    await retry(flow);
    expect((await takeBacklog(store.database.hot, [{ workspace: 'default', count: 10 }])).map((dispatch) => dispatch.id)).toContain(
      flow.phaseId(1),
    );
    await store.complete(await store.claim([flow.phaseId(1)]), 'again');
    const last = await store.claim([flow.phaseId(2)]);
    expect(last[0]).toMatchObject({ run: 2, attempt: 1, outputs: { p0: 'kept', p1: 'again' } });
    await store.complete(last);
    const story = await store.story(flow.flowId);
    expect([story.filter((line) => line === 'flow.failed').length, story.at(-1)]).toEqual([1, 'flow.completed']);
    expect((await store.flow(flow.flowId)).status).toBe('completed');
  });

  it('does not let a delivery or a worker of the run before do anything', async () => {
    const flow = await store.make([[], []]);
    const [straggler] = await store.claim([flow.phaseId(1)]);
    await fail(flow.phaseId(0));
    await store.sql("UPDATE millrace.phases SET due_at = now() - interval '1 s' WHERE id = $1", [flow.phaseId(1)]);
    expect(await retry(flow)).toEqual({ kind: 'refused', status: 'running' });
    if (straggler === undefined) throw new Error('not claimed');
    await fail(flow.phaseId(1)).catch(() => undefined);
    await failPhase(store.database, {
      id: straggler.id,
      fence: straggler.fence,
      worker: WORKER,
      error: { code: 'Error', message: 'no' },
      retryDelayMs: null,
    });
    expect((await retry(flow)).kind).toBe('done');
    await takeBacklog(store.database.hot, [{ workspace: 'default', count: 10 }]);
    const [again] = await store.claim([flow.phaseId(1)]);
    expect(again?.fence).toBeGreaterThan(straggler.fence);
    expect((await store.complete([straggler])).committed).toEqual([false]);
  });

  it('runs what was skipped behind two failures once both are mended', async () => {
    const flow = await store.make([[], [], [0, 1]]);
    await fail(flow.phaseId(0));
    await fail(flow.phaseId(1));
    await retry(flow);
    expect(await store.phase(flow.phaseId(2))).toMatchObject({ status: 'pending', needs_open: 2 });
    await takeBacklog(store.database.hot, [{ workspace: 'default', count: 10 }]);
    await store.complete(await store.claim([flow.phaseId(0), flow.phaseId(1)]));
    expect((await store.phase(flow.phaseId(2))).status).toBe('queued');
  });

  it('is refused on every flow that has not failed', async () => {
    const [queued, running, completed, cancelled] = [
      await store.make([[]]),
      await store.make([[]]),
      await store.make([[]]),
      await store.make([[]]),
    ];
    await store.claim([running.phaseId(0)]);
    await store.complete(await store.claim([completed.phaseId(0)]));
    await cancel(cancelled);
    const outcomes = await Promise.all([queued, running, completed, cancelled].map((flow) => retry(flow)));
    expect(outcomes).toEqual(['queued', 'running', 'completed', 'cancelled'].map((status) => ({ kind: 'refused', status })));
  });

  it('opens one run for two requests at the same time', async () => {
    const flow = await store.make([[]]);
    await fail(flow.phaseId(0));
    const outcomes = await Promise.all([retry(flow), retry(flow)]);
    expect(outcomes.map((outcome) => outcome.kind).toSorted()).toEqual(['done', 'refused']);
    expect((await store.flow(flow.flowId)).run).toBe(2);
  });

  it('finds nothing in another workspace', async () => {
    const flow = await store.make([[]]);
    await fail(flow.phaseId(0));
    expect(await retry(flow, 'other')).toEqual({ kind: 'not-found' });
  });
});

describe('kept steps', () => {
  const step = (id: string, fence: number, changes: Partial<NewStep> = {}): NewStep => ({
    phaseId: id,
    run: 1,
    fence,
    name: 'fetch',
    resultJson: '{"n":1}',
    ...changes,
  });
  const save = async (id: string, fence: number, changes: Partial<NewStep> = {}) =>
    (await saveSteps(store.database.hot, [step(id, fence, changes)]))[0];

  it('are read back by name, in this run only', async () => {
    const { phaseId } = await store.make([[]]);
    const [phase] = await store.claim([phaseId(0)]);
    expect(await save(phaseId(0), phase?.fence ?? 0)).toBe(true);
    expect(await save(phaseId(0), phase?.fence ?? 0, { name: 'other', resultJson: 'null' })).toBe(true);
    expect(await readSteps(store.database.main, { id: phaseId(0), run: 1 })).toEqual(
      new Map([
        ['fetch', '{"n": 1}'],
        ['other', 'null'],
      ]),
    );
    expect(await readSteps(store.database.main, { id: phaseId(0), run: 2 })).toEqual(new Map());
  });

  it('are written many at once, each under its own fence', async () => {
    const [one, two] = [await store.make([[], []]), await store.make([[]])];
    const ids = [two.phaseId(0), one.phaseId(1), one.phaseId(0)];
    const phases = await store.claim(ids);
    const fences = phases.map((phase) => phase.fence);
    const steps = [
      ...ids.map((id, index) => step(id, fences[index] ?? 0)),
      step(ids[0] ?? '', fences[0] ?? 0, { name: 'second' }),
      step(ids[1] ?? '', (fences[1] ?? 0) - 1, { name: 'late' }),
    ];
    expect(await saveSteps(store.database.hot, steps)).toEqual([true, true, true, true, false]);
    expect([...(await readSteps(store.database.main, { id: ids[0] ?? '', run: 1 })).keys()].toSorted()).toEqual(['fetch', 'second']);
    expect([...(await readSteps(store.database.main, { id: ids[1] ?? '', run: 1 })).keys()]).toEqual(['fetch']);
  });

  it('wait for a change of the flow that is under way, and see what it did', async () => {
    const { phaseId, flowId } = await store.make([[]]);
    await store.claim([phaseId(0)]);
    const saving = await store.database.transaction(async (client) => {
      await client.query('SELECT FROM millrace.flows WHERE id = $1 FOR UPDATE', [flowId]);
      await client.query('UPDATE millrace.phases SET fence = fence + 1 WHERE id = $1', [phaseId(0)]);
      const saved = save(phaseId(0), 1);
      await eventually(async () => {
        expect(
          await store.sql("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"),
        ).toHaveLength(1);
      });
      return { saved };
    });
    expect(await saving.saved).toBe(false);
  });

  it('are refused from a worker that lost the phase, and after its end', async () => {
    const { phaseId } = await store.make([[]]);
    const phases = await store.claim([phaseId(0)]);
    expect(await save(phaseId(0), 0)).toBe(false);
    await store.complete(phases);
    expect(await save(phaseId(0), 1)).toBe(false);
    expect(await readSteps(store.database.main, { id: phaseId(0), run: 1 })).toEqual(new Map());
  });
});
