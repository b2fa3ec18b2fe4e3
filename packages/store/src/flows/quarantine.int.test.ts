import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createStoreFixture, type StoreFixture } from '../test-support/store-fixture.ts';
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
    [1, true, false],
    [2, false, false],
    [9, false, false],
    [2, true, true],
  ])('after %d crashes before, alone %s, condemns its phase: %s', (crashes, alone, expected) => {
    expect(isCondemned({ crashes, alone, owner: 'dead' })).toBe(expected);
    expect(isCondemned({ crashes, alone, owner: 'silent' })).toBe(expected);
    expect(isCondemned({ crashes, alone, owner: 'alive' })).toBe(false);
  });
});

describe('quarantine', () => {
  it('ends the phase and its flow, and skips what needs it, once its lease has run out', async () => {
    const { phaseId, flowId } = await store.make([[], [0]]);
    const id = phaseId(0);
    await store.claim([id]);
    expect(await markAlone(store.database.main, { id, fence: 1 })).toBe(true);
    expect(await quarantinePhase(store.database, { id, fence: 1 })).toEqual({ committed: false, events: [] });
    await store.sql("UPDATE millrace.phases SET due_at = now() - interval '1 second' WHERE id = $1", [id]);
    const { committed, events } = await quarantinePhase(store.database, { id, fence: 1 });
    expect([committed, events.map((event) => event.type)]).toEqual([true, ['phase.quarantined', 'phase.skipped', 'flow.failed']]);
    expect(events.every((event) => event.subjectId === flowId)).toBe(true);
    expect(await store.phase(id)).toMatchObject({ status: 'quarantined', crashes: 1, alone: true });
  });

  it('is refused to an older fence, also the mark that it ran alone', async () => {
    const { phaseId } = await store.make([[]]);
    const id = phaseId(0);
    await store.claim([id]);
    await store.sql("UPDATE millrace.phases SET due_at = now() - interval '1 second' WHERE id = $1", [id]);
    expect(await markAlone(store.database.main, { id, fence: 0 })).toBe(false);
    expect((await quarantinePhase(store.database, { id, fence: 0 })).committed).toBe(false);
    expect((await store.phase(id)).status).toBe('running');
  });
});
