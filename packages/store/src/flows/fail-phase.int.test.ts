import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { LIMITS } from '@millrace/shared';
import { createStoreFixture, WORKER, type StoreFixture } from '../test-support/store-fixture.ts';
import { failPhase, type PhaseFailure } from './fail-phase.ts';

let store: StoreFixture;
const ERROR = { code: 'TypeError', message: 'it broke', stack: 'at secret.ts:1' };

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

/** Claims the phase and reports its attempt as failed. */
async function fail(id: string, changes: Partial<PhaseFailure> = {}) {
  const [phase] = await store.claim([id]);
  return failPhase(store.database, { id, fence: phase?.fence ?? 0, worker: WORKER, error: ERROR, retryDelayMs: null, ...changes });
}

describe('a failed attempt with attempts left', () => {
  it('sets the phase to retry at its time, keeps the attempt, and says so without the stack', async () => {
    const { flowId, phaseId } = await store.make([[], [0]]);
    const outcome = await fail(phaseId(0), { retryDelayMs: 60_000 });
    const row = await store.phase(phaseId(0));
    expect(outcome.committed).toBe(true);
    expect(row).toMatchObject({ status: 'retrying', attempts: 1, lease_owner: null, error: ERROR, finished_at: null });
    expect(Math.abs((row.due_at?.getTime() ?? 0) - Date.now() - 60_000)).toBeLessThan(2_000);
    const last = (await store.events(flowId)).at(-1);
    expect(last).toMatchObject({
      type: 'phase.retrying',
      phase: 'p0',
      data: { attempt: 1, error: { code: 'TypeError', message: 'it broke' }, retryAt: row.due_at?.toISOString() },
    });
    expect(JSON.stringify(await store.events(flowId))).not.toContain('secret.ts');
    expect(await store.sql('SELECT attempt, run, worker, outcome, error FROM millrace.attempts WHERE phase_id = $1', [phaseId(0)])).toEqual(
      [{ attempt: 1, run: 1, worker: WORKER, outcome: 'failed', error: ERROR }],
    );
    expect(await store.flow(flowId)).toMatchObject({ status: 'running', phases_open: 2, phases_failed: 0 });
  });

  it('runs again as the next attempt under the same delivery', async () => {
    const { flowId, phaseId } = await store.make([[]]);
    await fail(phaseId(0), { retryDelayMs: 0 });
    const [again] = await store.claim([phaseId(0)]);
    expect(again).toMatchObject({ attempt: 2, fence: 2 });
    expect(await store.phase(phaseId(0))).toMatchObject({ status: 'running', error: null, generation: 1 });
    expect((await store.events(flowId)).at(-1)).toMatchObject({ type: 'phase.started', data: { attempt: 2 } });
  });

  it('may wait as long as the longest delay there is', async () => {
    const { phaseId } = await store.make([[]]);
    await fail(phaseId(0), { retryDelayMs: LIMITS.timerMsMax });
    expect(((await store.phase(phaseId(0))).due_at?.getTime() ?? 0) - Date.now()).toBeGreaterThan(23 * 86_400_000);
  });
});

describe('the last failed attempt', () => {
  it('fails the phase, skips all that depends on it however far, and ends the flow', async () => {
    const { flowId, phaseId } = await store.make([[], [0], [1], [2, 0]]);
    const outcome = await fail(phaseId(0));
    expect(outcome.events.map((event) => event.type)).toEqual([
      'phase.failed',
      'phase.skipped',
      'phase.skipped',
      'phase.skipped',
      'flow.failed',
    ]);
    expect(await store.flow(flowId)).toMatchObject({
      status: 'failed',
      phases_open: 0,
      phases_failed: 1,
      error: { phase: 'p0', code: 'TypeError', message: 'it broke' },
      finished_at: expect.any(Date),
    });
    expect(await Promise.all([1, 2, 3].map(async (n) => (await store.phase(phaseId(n))).status))).toEqual([
      'skipped',
      'skipped',
      'skipped',
    ]);
    expect(await store.phase(phaseId(0))).toMatchObject({ status: 'failed', attempts: 1, due_at: null, finished_at: expect.any(Date) });
    const skipped = (await store.events(flowId)).filter((event) => event.type === 'phase.skipped');
    expect(skipped.map((event) => event.data)).toEqual(skipped.map(() => ({ because: 'p0' })));
    expect((await store.story(flowId)).at(-1)).toBe('flow.failed');
  });

  it('skips a join once when both of its sides fail', async () => {
    const { flowId, phaseId } = await store.make([[], [], [0, 1], [2]]);
    const phases = await store.claim([phaseId(0), phaseId(1)]);
    await Promise.all(
      phases.map(({ id, fence }) => failPhase(store.database, { id, fence, worker: WORKER, error: ERROR, retryDelayMs: null })),
    );
    expect(await store.flow(flowId)).toMatchObject({ status: 'failed', phases_open: 0, phases_failed: 2 });
    const story = await store.story(flowId);
    expect(story.filter((line) => line.startsWith('phase.skipped')).toSorted()).toEqual(['phase.skipped p2', 'phase.skipped p3']);
    expect(story.filter((line) => line === 'flow.failed')).toHaveLength(1);
  });

  it('keeps the first error as that of the flow', async () => {
    const { flowId, phaseId } = await store.make([[], []]);
    await fail(phaseId(1), { error: { code: 'first', message: 'first' } });
    await fail(phaseId(0), { error: { code: 'second', message: 'second' } });
    expect(await store.flow(flowId)).toMatchObject({ status: 'failed', error: { phase: 'p1', code: 'first' } });
  });

  it('skips 2,000 phases in a row', async () => {
    const { flowId, phaseId } = await store.make(Array.from({ length: 2_000 }, (_, n) => (n === 0 ? [] : [n - 1])));
    await fail(phaseId(0));
    expect(await store.flow(flowId)).toMatchObject({ status: 'failed', phases_open: 0 });
    expect(await store.story(flowId)).toHaveLength(4 + 1 + 1_999 + 1);
  });
});

describe("a failure that is not its worker's to write", () => {
  it.each<[string, Partial<PhaseFailure>]>([
    ['an older fence', { fence: 0 }],
    ['another worker', { worker: 'other' }],
  ])('is refused for %s and changes nothing', async (_, forged) => {
    const { flowId, phaseId } = await store.make([[]]);
    expect(await fail(phaseId(0), forged)).toEqual({ committed: false, events: [] });
    expect(await store.phase(phaseId(0))).toMatchObject({ status: 'running', attempts: 0 });
    expect(await store.story(flowId)).toHaveLength(4);
  });

  it('is refused the second time', async () => {
    const { flowId, phaseId } = await store.make([[]]);
    await fail(phaseId(0));
    const again = await failPhase(store.database, { id: phaseId(0), fence: 1, worker: WORKER, error: ERROR, retryDelayMs: null });
    expect(again.committed).toBe(false);
    expect((await store.flow(flowId)).phases_failed).toBe(1);
  });

  it('is refused for a phase that is not there', async () => {
    expect(
      await failPhase(store.database, {
        id: '01900000-0000-7000-8000-000000000001',
        fence: 1,
        worker: WORKER,
        error: ERROR,
        retryDelayMs: null,
      }),
    ).toEqual({ committed: false, events: [] });
  });
});
