import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createStoreFixture, idempotencyKey, newFlow, type StoreFixture } from '../test-support/store-fixture.ts';
import { createFlows, DIRECT_DISPATCH_MAX, type CreatedFlow, type NewFlow } from './create-flows.ts';

let store: StoreFixture;
const create = (flows: readonly NewFlow[]) => createFlows(store.database.hot, flows);
const kinds = (made: readonly CreatedFlow[]) => made.map((one) => one.kind);
const idOf = (made: CreatedFlow | undefined) => (made?.kind === 'key-reused' ? undefined : (made?.body as { id: string } | undefined)?.id);
const keyed = (key: string, changes: Partial<NewFlow> & { body?: string } = {}) =>
  newFlow([[]], { idempotency: idempotencyKey(key, changes.body), ...changes });

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

describe('createFlows', () => {
  it('writes the flow, its phases and its first events, and answers what may go to the queue', async () => {
    const { flowId, phaseId, dispatches } = await store.make([[], [0], [], [1, 2]], { tags: { team: 'a' }, priority: 7 });
    expect(await store.flow(flowId)).toMatchObject({
      status: 'queued',
      run: 1,
      phases_open: 4,
      phases_failed: 0,
      priority: 7,
      tags: { team: 'a' },
      input: { n: 1 },
    });
    expect(await store.story(flowId)).toEqual(['flow.queued', 'phase.queued p0', 'phase.queued p2']);
    expect(dispatches).toEqual(
      [0, 2].map((n) => ({ id: phaseId(n), generation: 1, workspace: 'default', priority: 7, attempts: 4, delayMs: 0 })),
    );
    expect(await store.phase(phaseId(3))).toMatchObject({
      name: 'p3',
      status: 'pending',
      needs_open: 2,
      needs: [phaseId(1), phaseId(2)],
      dependants: [],
      dispatched: false,
      due_at: null,
      generation: 0,
    });
    expect(await store.phase(phaseId(0))).toMatchObject({
      status: 'queued',
      dispatched: true,
      generation: 1,
      dependants: [phaseId(1)],
      due_at: expect.any(Date),
    });
  });

  it('answers one outcome per flow in their order', async () => {
    const made = await create(Array.from({ length: 500 }, (_, n) => newFlow([[]], { inputJson: `${n}` })));
    const inputs = await store.sql<{ id: string; input: number }>('SELECT id, input FROM millrace.flows WHERE id = ANY($1::uuid[])', [
      made.map(idOf),
    ]);
    expect(made.map((one) => inputs.find((row) => row.id === idOf(one))?.input)).toEqual(made.map((_, n) => n));
  });

  it('dispatches only the first of a wide flow and leaves the rest to the backlog', async () => {
    const { flowId, dispatches } = await store.make(Array.from({ length: 250 }, () => []));
    expect(dispatches).toHaveLength(DIRECT_DISPATCH_MAX);
    const rows = await store.sql<{ dispatched: boolean; due: boolean; generation: number; count: number }>(
      'SELECT dispatched, due_at IS NOT NULL AS due, generation, count(*)::int FROM millrace.phases WHERE flow_id = $1 GROUP BY 1, 2, 3 ORDER BY 1',
      [flowId],
    );
    expect(rows).toEqual([
      { dispatched: false, due: false, generation: 0, count: 150 },
      { dispatched: true, due: true, generation: 1, count: 100 },
    ]);
    expect(await store.story(flowId)).toHaveLength(251);
  });

  it('dispatches nothing when it is told not to', async () => {
    const { dispatches, phaseId } = await store.make([[]], { dispatch: false });
    expect(dispatches).toEqual([]);
    expect(await store.phase(phaseId(0))).toMatchObject({ status: 'queued', dispatched: false, due_at: null });
  });

  it('holds the ready phases of a flow that is to run later until then', async () => {
    const runAt = new Date(Date.now() + 3_600_000);
    const { flowId, dispatches, phaseId } = await store.make([[], [0]], { runAt: runAt.toISOString() });
    expect(dispatches).toEqual([]);
    expect(await store.phase(phaseId(0))).toMatchObject({ status: 'queued', dispatched: false, due_at: runAt });
    expect(await store.phase(phaseId(1))).toMatchObject({ status: 'pending', due_at: null });
    expect(await store.flow(flowId)).toMatchObject({ run_at: runAt });
  });

  it('writes nothing of a batch in which one flow cannot be written', async () => {
    const before = await store.sql('SELECT count(*) FROM millrace.flows');
    await expect(create([newFlow([[]]), newFlow([[]], { priority: 0 })])).rejects.toMatchObject({ code: '23514' });
    expect(await store.sql('SELECT count(*) FROM millrace.flows')).toEqual(before);
  });

  it('accepts 20,000 phases at once', async () => {
    const { flowId } = await store.make(Array.from({ length: 20_000 }, (_, n) => (n === 0 ? [] : [n - 1])));
    expect(await store.flow(flowId)).toMatchObject({ phases_open: 20_000, seq_last: 2 });
  });

  it('makes nothing of nothing', async () => {
    expect(await create([])).toEqual([]);
  });
});

describe('an Idempotency-Key', () => {
  it('makes one flow of two in one batch, the second a replay of the first', async () => {
    const made = await create([keyed('same-batch'), newFlow([[]]), keyed('same-batch')]);
    expect(kinds(made)).toEqual(['created', 'created', 'replayed']);
    expect(made[2]).toEqual({ kind: 'replayed', status: 202, body: { id: idOf(made[0]) } });
  });

  it('makes one flow of any number of batches at the same time', async () => {
    const batches = await Promise.all(
      Array.from({ length: 20 }, (_, n) => create(n % 2 === 0 ? [keyed('race-a'), keyed('race-b')] : [keyed('race-b'), keyed('race-a')])),
    );
    const all = batches.flat();
    expect(kinds(all).filter((kind) => kind === 'created')).toHaveLength(2);
    expect(new Set(all.map(idOf)).size).toBe(2);
    expect(await store.sql("SELECT FROM millrace.idempotency_keys WHERE key LIKE 'race-%'")).toHaveLength(2);
  });

  it('is refused with another body, in the same batch and later', async () => {
    expect(kinds(await create([keyed('reused'), keyed('reused', { body: 'other' })]))).toEqual(['created', 'key-reused']);
    expect(kinds(await create([keyed('reused', { body: 'other' }), keyed('reused')]))).toEqual(['key-reused', 'replayed']);
  });

  it('answers a replay with the first answer, not with what would be answered now', async () => {
    const [first] = await create([keyed('answer', { respond: (flowId) => ({ status: 202, body: { id: flowId, said: 'first' } }) })]);
    const [second] = await create([keyed('answer', { respond: () => ({ status: 299, body: { said: 'second' } }) })]);
    expect(second).toEqual({ kind: 'replayed', status: 202, body: { id: idOf(first), said: 'first' } });
  });

  it('belongs to its workspace and its route', async () => {
    const otherRoute = { ...idempotencyKey('scoped'), route: 'POST /v1/imports' };
    const made = await create([keyed('scoped'), keyed('scoped', { workspace: 'other' }), keyed('scoped', { idempotency: otherRoute })]);
    expect(kinds(made)).toEqual(['created', 'created', 'created']);
  });

  it('may be used anew after 24 hours, and not before', async () => {
    await create([keyed('old'), keyed('older')]);
    await store.sql("UPDATE millrace.idempotency_keys SET created_at = now() - interval '23 hours 59 minutes' WHERE key = 'old'");
    await store.sql("UPDATE millrace.idempotency_keys SET created_at = now() - interval '24 hours 1 minute' WHERE key = 'older'");
    expect(kinds(await create([keyed('old', { body: 'other' }), keyed('older', { body: 'other' })]))).toEqual(['key-reused', 'created']);
    expect(kinds(await create([keyed('older', { body: 'other' })]))).toEqual(['replayed']);
  });

  it('is not taken by a batch that was not written', async () => {
    await expect(create([keyed('untaken'), newFlow([[]], { priority: 0 })])).rejects.toThrow();
    expect(kinds(await create([keyed('untaken')]))).toEqual(['created']);
  });
});
