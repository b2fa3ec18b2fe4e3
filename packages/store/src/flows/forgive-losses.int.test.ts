// Losses of workers that turn out to be alive.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createStoreFixture, type StoreFixture } from '../test-support/store-fixture.ts';
import { failPhase } from './fail-phase.ts';
import { forgiveLosses } from './forgive-losses.ts';
import { releasePhases } from './release-phases.ts';
import { retryFlow } from './retry-flow.ts';

let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
}, 60_000);

afterAll(async () => {
  await store.close();
});

/** Loses a phase's lease under a worker, as if it had died. */
async function lose(id: string, worker: string): Promise<void> {
  const [phase] = await store.claim([id], { worker });
  await store.sql("UPDATE millrace.phases SET due_at = now() - interval '1 second' WHERE id = $1", [id]);
  const lost = { id, fence: phase?.fence ?? 0, outcome: 'lost' as const, reason: 'lease-expired', delayMs: 0 };
  expect((await releasePhases(store.database.hot, [lost])).released).toEqual([true]);
}
const forgive = (worker: string) => forgiveLosses(store.database.hot, worker);
const crashesOf = async (id: string) => (await store.phase(id)).crashes;
const outcomesOf = async (id: string) =>
  (await store.sql<{ outcome: string }>('SELECT outcome FROM millrace.attempts WHERE phase_id = $1 ORDER BY fence', [id])).map(
    ({ outcome }) => outcome,
  );

describe('a worker that is alive after all', () => {
  it('takes back what was counted against its phases, once, and nothing that others have lost', async () => {
    const { phaseId } = await store.make([[]]);
    const id = phaseId(0);
    for (const worker of ['alive', 'dead', 'alive']) await lose(id, worker);
    expect(await crashesOf(id)).toBe(3);
    expect(await forgive('alive')).toBe(2);
    expect([await crashesOf(id), await outcomesOf(id)]).toEqual([1, ['interrupted', 'lost', 'interrupted']]);
    expect(await forgive('alive')).toBe(0);
    expect(await crashesOf(id)).toBe(1);
  });

  it('waits for nobody who works on a phase just now, and takes it back later', async () => {
    const { phaseId } = await store.make([[], []]);
    for (const ordinal of [0, 1]) await lose(phaseId(ordinal), 'busy');
    await store.database.transaction(async (client) => {
      await client.query('SELECT FROM millrace.phases WHERE id = $1 FOR UPDATE', [phaseId(0)]);
      expect(await forgive('busy')).toBe(1);
    });
    expect([await crashesOf(phaseId(0)), await crashesOf(phaseId(1))]).toEqual([1, 0]);
    expect(await forgive('busy')).toBe(1);
    expect(await crashesOf(phaseId(0))).toBe(0);
  });

  it('leaves the crashes of a later run as they are', async () => {
    const { flowId, phaseId } = await store.make([[]]);
    const id = phaseId(0);
    await lose(id, 'of-run-1');
    const [phase] = await store.claim([id]);
    const failure = { id, fence: phase?.fence ?? 0, worker: 'worker-a', error: { code: 'x', message: 'x' }, retryDelayMs: null };
    await failPhase(store.database, failure);
    await retryFlow(store.database, { flowId, workspace: 'default' });
    await lose(id, 'of-run-2');
    expect(await forgive('of-run-1')).toBe(1);
    expect([await crashesOf(id), await outcomesOf(id)]).toEqual([1, ['interrupted', 'failed', 'lost']]);
  });
});
