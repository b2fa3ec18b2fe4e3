// What a cancel leaves to be told about each phase that ran, and who may tell it.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createStoreFixture, WORKER, type MadeFlow, type StoreFixture } from '../test-support/store-fixture.ts';
import { cancelFlow } from './cancel-flow.ts';
import { cancelledAmong, closeUnanswered, fillReceipts, type CancelReceipt } from './cancellations.ts';
import type { ClaimedPhase } from './claim-phases.ts';
import { readFlow } from './read-flow.ts';

let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

const cancel = ({ flowId }: MadeFlow) => cancelFlow(store.database, { flowId, workspace: 'default', by: 'someone' });
const cancellation = async ({ flowId }: MadeFlow) =>
  (await readFlow(store.database.main, { flowId, workspace: 'default' }))?.cancellation ?? null;
/** A flow of `count` phases side by side, cancelled while all of them ran. */
const cancelledWhileRunning = async (count: number): Promise<{ flow: MadeFlow; phases: ClaimedPhase[] }> => {
  const flow = await store.make(Array.from({ length: count }, () => []));
  const phases = await store.claim(Array.from({ length: count }, (_, ordinal) => flow.phaseId(ordinal)));
  await cancel(flow);
  return { flow, phases };
};
const receipt = (phase: ClaimedPhase, changes: Partial<CancelReceipt> = {}): CancelReceipt => ({
  flowId: phase.flowId,
  run: phase.run,
  phaseId: phase.id,
  fence: phase.fence,
  seenAgeMs: 0,
  ended: null,
  ...changes,
});

describe('a cancelled flow', () => {
  it('has a receipt for each phase that ran, and for no other', async () => {
    const flow = await store.make([[], [], [0], []]);
    await store.complete(await store.claim([flow.phaseId(0)]));
    await store.claim([flow.phaseId(1), flow.phaseId(2)], { worker: 'w-1' });
    await cancel(flow);
    const open = { worker: 'w-1', requested_at: expect.any(Date), seen_at: null, ended_at: null, how: null };
    expect(await cancellation(flow)).toEqual({
      requested_at: (await store.flow(flow.flowId)).finished_at,
      by: 'someone',
      phases: [
        { phase: 'p1', ...open },
        { phase: 'p2', ...open },
      ],
    });
  });

  it('tells by whom also when nothing ran', async () => {
    const flow = await store.make([[]]);
    await cancel(flow);
    expect(await cancellation(flow)).toMatchObject({ by: 'someone', phases: [] });
  });

  it.each([
    ['completed', async (flow: MadeFlow) => store.complete(await store.claim([flow.phaseId(0)]))],
    ['running', async (flow: MadeFlow) => store.claim([flow.phaseId(0)])],
  ])('is told of no flow that is %s', async (_, act) => {
    const flow = await store.make([[]]);
    await act(flow);
    expect(await cancellation(flow)).toBeNull();
  });
});

describe('fillReceipts', () => {
  it('notes when it was seen and how it ended, by the clock of the server', async () => {
    const { flow, phases } = await cancelledWhileRunning(2);
    const [first, second] = phases as [ClaimedPhase, ClaimedPhase];
    // Ages beyond the request itself, as of a worker whose statement was long on its way: never before the request.
    await fillReceipts(store.database.main, [receipt(first, { seenAgeMs: 60_000 }), receipt(second)]);
    await fillReceipts(store.database.main, [receipt(second, { seenAgeMs: 60_000, ended: { ageMs: 0, how: 'killed' } })]);
    const told = (await cancellation(flow))?.phases;
    expect(told?.[0]).toMatchObject({ seen_at: told?.[0]?.requested_at, ended_at: null, how: null });
    expect(told?.[1]).toMatchObject({ how: 'killed', ended_at: expect.any(Date) });
    const { requested_at, seen_at, ended_at } = told?.[1] ?? {};
    expect([requested_at, seen_at, ended_at].map(Number)).toEqual([requested_at, seen_at, ended_at].map(Number).toSorted((a, b) => a - b));
  });

  it('keeps what was told first, within one batch too', async () => {
    const { flow, phases } = await cancelledWhileRunning(1);
    const [phase] = phases as [ClaimedPhase];
    await fillReceipts(store.database.main, [receipt(phase), receipt(phase, { ended: { ageMs: 0, how: 'fenced' } })]);
    const before = await cancellation(flow);
    await fillReceipts(store.database.main, [receipt(phase, { ended: { ageMs: 0, how: 'stopped' } })]);
    expect(await cancellation(flow)).toEqual(before);
    expect(before?.phases).toMatchObject([{ how: 'fenced', seen_at: expect.any(Date), ended_at: expect.any(Date) }]);
  });

  it('is deaf to those who do not hold the phase', async () => {
    const { flow, phases } = await cancelledWhileRunning(1);
    const [phase] = phases as [ClaimedPhase];
    await fillReceipts(store.database.main, [receipt(phase, { fence: phase.fence - 1 }), receipt(phase, { run: 2 })]);
    expect((await cancellation(flow))?.phases).toMatchObject([{ worker: WORKER, seen_at: null }]);
  });
});

describe('cancelledAmong', () => {
  it('tells cancelled claims from lost ones', async () => {
    const { phases } = await cancelledWhileRunning(1);
    const lost = await store.make([[]]);
    const [held] = await store.claim([lost.phaseId(0)]);
    const asked = [...phases, ...(held === undefined ? [] : [held])].map(({ id, fence }) => ({ id, fence }));
    expect(await cancelledAmong(store.database.main, asked)).toEqual(new Set(phases.map(({ id }) => id)));
    expect(await cancelledAmong(store.database.main, [{ id: phases[0]?.id ?? '', fence: 7 }])).toEqual(new Set());
    expect(await cancelledAmong(store.database.main, [])).toEqual(new Set());
  });
});

describe('closeUnanswered', () => {
  it('closes as fenced what nobody has closed in time, a few at a time, and leaves the rest', async () => {
    const { flow: silent, phases } = await cancelledWhileRunning(3);
    const { flow: fresh } = await cancelledWhileRunning(1);
    await fillReceipts(store.database.main, [receipt(phases[0] as ClaimedPhase, { ended: { ageMs: 0, how: 'stopped' } })]);
    await store.sql("UPDATE millrace.cancellations SET requested_at = requested_at - interval '31 seconds' WHERE flow_id = $1", [
      silent.flowId,
    ]);
    const close = () => closeUnanswered(store.database.main, { afterMs: 30_000, limit: 1 });
    expect([await close(), await close(), await close()]).toEqual([1, 1, 0]);
    expect((await cancellation(silent))?.phases.map(({ how }) => how)).toEqual(['stopped', 'fenced', 'fenced']);
    expect((await cancellation(fresh))?.phases).toMatchObject([{ how: null, ended_at: null }]);
  });
});
