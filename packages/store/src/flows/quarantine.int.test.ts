import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createStoreFixture, WORKER, type StoreFixture } from '../test-support/store-fixture.ts';
import { isCondemned, markAlone, quarantinePhase } from './quarantine.ts';

let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
}, 60_000);

afterAll(async () => {
  await store.close();
});

describe('a lost claim', () => {
  it.each([
    [4, true, false],
    [5, false, false],
    [9, false, false],
    [5, true, true],
  ])('after %d crashes before, alone %s, condemns its phase: %s', (crashes, alone, expected) => {
    expect(isCondemned({ crashes, alone, owner: 'dead' })).toBe(expected);
    expect(isCondemned({ crashes, alone, owner: 'silent' })).toBe(expected);
    expect(isCondemned({ crashes, alone, owner: 'alive' })).toBe(false);
  });
});

const lost = (id: string, fence: number) => ({ id, fence, crashes: 5, seen: null });

describe('quarantine', () => {
  it('ends the phase and its flow, and skips what needs it, once its lease has run out', async () => {
    const { phaseId, flowId } = await store.make([[], [0]]);
    const id = phaseId(0);
    await store.claim([id]);
    expect(await markAlone(store.database.main, { id, fence: 1 })).toBe(true);
    expect(await quarantinePhase(store.database, lost(id, 1))).toEqual({ committed: false, events: [] });
    await store.sql("UPDATE millrace.phases SET due_at = now() - interval '1 second' WHERE id = $1", [id]);
    const { committed, events } = await quarantinePhase(store.database, lost(id, 1));
    expect([committed, events.map((event) => event.type)]).toEqual([true, ['phase.quarantined', 'phase.skipped', 'flow.failed']]);
    expect(events.every((event) => event.subjectId === flowId)).toBe(true);
    expect(await store.phase(id)).toMatchObject({ status: 'quarantined', crashes: 1, alone: true });
  });

  it('does not wait for the end of the lease when its worker has seen it, and is refused to another', async () => {
    const { phaseId } = await store.make([[]]);
    const id = phaseId(0);
    await store.claim([id]);
    const seenBy = (worker: string) =>
      quarantinePhase(store.database, { id, fence: 1, crashes: 2, seen: { worker, how: 'signal SIGKILL' } });
    expect((await seenBy('another')).committed).toBe(false);
    expect((await seenBy(WORKER)).committed).toBe(true);
    expect((await store.phase(id)).error).toEqual({
      code: 'crashed',
      message: 'its process died under it 3 times, the last time with nothing else running beside it: signal SIGKILL',
    });
  });

  it('is refused to an older fence, also the mark that it ran alone', async () => {
    const { phaseId } = await store.make([[]]);
    const id = phaseId(0);
    await store.claim([id]);
    await store.sql("UPDATE millrace.phases SET due_at = now() - interval '1 second' WHERE id = $1", [id]);
    expect(await markAlone(store.database.main, { id, fence: 0 })).toBe(false);
    expect((await quarantinePhase(store.database, lost(id, 0))).committed).toBe(false);
    expect((await store.phase(id)).status).toBe('running');
  });
});
