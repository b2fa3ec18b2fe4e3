// Starts with a dedupe key against a real database: one flow at any concurrency, in every mode, alone and in batches.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { memberId, type DedupeMode } from '@millrace/shared';
import { createStoreFixture, idempotencyKey, newFlow, type StoreFixture } from '../../test-support/store-fixture.ts';
import type { NewFlow } from '../create-flows.ts';
import { createDedupedFlows, type DedupedFlow, type StartedFlow } from './create-deduped-flows.ts';
import { pruneDedupeKeys } from './dedupe-keys.ts';

let store: StoreFixture;
beforeAll(async () => {
  store = await createStoreFixture();
});
afterAll(async () => {
  await store.close();
});

const keyed = (key: string, mode: DedupeMode = 'return', changes: Partial<NewFlow> & { windowMs?: number } = {}): DedupedFlow => ({
  ...newFlow([[], [0]], changes),
  dedupe: {
    key,
    mode,
    windowMs: changes.windowMs ?? null,
    respondExisting: ({ id, status }) => ({ status: 202, body: { id, status, deduplicated: true } }),
  },
});
const startAll = async (...flows: DedupedFlow[]) => (await createDedupedFlows(store.database, flows)).started;
const start = async (flow: DedupedFlow): Promise<StartedFlow> => {
  const [started] = await startAll(flow);
  if (started === undefined) throw new Error('not answered');
  return started;
};
const idOf = (started: StartedFlow | undefined) =>
  started === undefined || started.kind === 'key-reused' ? '' : 'flowId' in started ? started.flowId : (started.body as { id: string }).id;
const kinds = (started: readonly StartedFlow[]) => started.map((one) => one.kind);
const run = async (flowId: string) => store.claim([memberId(flowId, 0)]);
const end = (flowId: string) =>
  store.sql("/* forged */ UPDATE millrace.flows SET status = 'completed', finished_at = now() WHERE id = $1", [flowId]);
const statusOf = async (flowId: string) => (await store.flow(flowId)).status;
const flowCount = async (tag: string) =>
  (await store.sql<{ count: number }>("SELECT count(*)::int AS count FROM millrace.flows WHERE tags->>'t' = $1", [tag]))[0]?.count;

describe('a dedupe key', () => {
  it.each(['return', 'reject', 'window'] as const)('makes one flow of 100 parallel starts with %s', async (mode) => {
    const tags = { t: `parallel-${mode}` };
    const started = await Promise.all(
      Array.from({ length: 100 }, () =>
        start(keyed(`parallel-${mode}`, mode, { tags, ...(mode === 'window' ? { windowMs: 60_000 } : {}) })),
      ),
    );
    expect(kinds(started).filter((kind) => kind === 'created')).toHaveLength(1);
    expect(new Set(started.map(idOf)).size).toBe(1);
    expect(await flowCount(tags.t)).toBe(1);
  });

  it('leaves one flow of 100 parallel starts that replace each other', async () => {
    const tags = { t: 'parallel-replace' };
    const started = await Promise.all(Array.from({ length: 100 }, () => start(keyed('parallel-replace', 'replace', { tags }))));
    expect(kinds(started).every((kind) => kind === 'created')).toBe(true);
    const left = await store.sql<{ status: string; count: number }>(
      "SELECT status, count(*)::int AS count FROM millrace.flows WHERE tags->>'t' = $1 GROUP BY status ORDER BY status",
      [tags.t],
    );
    expect(left).toEqual([
      { status: 'cancelled', count: 99 },
      { status: 'queued', count: 1 },
    ]);
  });

  it('answers the flow that is there, with its status, until it has ended', async () => {
    const first = idOf(await start(keyed('until-end')));
    await run(first);
    expect(await start(keyed('until-end'))).toEqual({
      kind: 'deduplicated',
      flowId: first,
      status: 202,
      body: { id: first, status: 'running', deduplicated: true },
    });
    await end(first);
    const second = await start(keyed('until-end'));
    expect([second.kind, idOf(second) === first]).toEqual(['created', false]);
  });

  it('refuses with reject until the flow has ended', async () => {
    const first = idOf(await start(keyed('reject', 'reject')));
    expect(await start(keyed('reject', 'reject'))).toEqual({ kind: 'duplicate', flowId: first });
    await end(first);
    expect((await start(keyed('reject', 'reject'))).kind).toBe('created');
  });

  it('replaces what has not started, and answers what has', async () => {
    const first = idOf(await start(keyed('replace', 'replace', { runAt: new Date(Date.now() + 60_000).toISOString() })));
    const { started, events } = await createDedupedFlows(store.database, [keyed('replace', 'replace')]);
    const second = idOf(started[0]);
    expect(await store.flow(first)).toMatchObject({ status: 'cancelled', phases_open: 0, finished_at: expect.any(Date) });
    expect(events).toMatchObject([
      { subjectId: first, type: 'flow.cancelled', data: { by: 'test', reason: 'replaced', replacedBy: second } },
    ]);
    expect(await store.story(first)).toEqual(['flow.queued', 'phase.queued p0', 'flow.cancelled']);
    expect(await store.phase(memberId(first, 1))).toMatchObject({ status: 'cancelled', due_at: null });
    await run(second);
    expect(await start(keyed('replace', 'replace'))).toMatchObject({ kind: 'deduplicated', flowId: second });
  });

  it('rings for the place of a replaced flow that had one', async () => {
    const extras = { concurrency: { key: 'replaced-place', limit: 1 } };
    const first = idOf(await start(keyed('replaced-place', 'replace', { extras })));
    await store.sql('UPDATE millrace.flows SET admitted = true WHERE id = $1', [first]);
    await store.sql('DELETE FROM millrace.admissions');
    await start(keyed('replaced-place', 'replace'));
    expect(await store.sql('SELECT workspace, kind, key FROM millrace.admissions')).toEqual([
      { workspace: 'default', kind: 'limit', key: 'replaced-place' },
    ]);
  });

  it('answers the first flow of a window whatever became of it, and starts anew after it', async () => {
    const window = () => keyed('window', 'window', { windowMs: 60_000 });
    const first = idOf(await start(window()));
    await end(first);
    await store.sql("UPDATE millrace.dedupe_keys SET accepted_at = now() - interval '59 seconds' WHERE key = 'window'");
    expect(await start(window())).toMatchObject({ kind: 'deduplicated', flowId: first, body: { status: 'completed' } });
    await store.sql("UPDATE millrace.dedupe_keys SET accepted_at = now() - interval '61 seconds' WHERE key = 'window'");
    const second = await start(window());
    expect(second.kind).toBe('created');
    expect(await start(window())).toMatchObject({ kind: 'deduplicated', flowId: idOf(second) });
  });

  it('belongs to its workspace and its flow', async () => {
    const started = await startAll(
      keyed('scope'),
      keyed('scope', 'return', { workspace: 'other' }),
      keyed('scope', 'return', { name: 'other' }),
    );
    expect(kinds(started)).toEqual(['created', 'created', 'created']);
  });

  it('holds between the lines of one batch, in their order', async () => {
    const started = await startAll(keyed('a'), keyed('b', 'reject'), keyed('a'), keyed('b', 'reject'), keyed('a', 'replace'), keyed('a'));
    expect(kinds(started)).toEqual(['created', 'created', 'deduplicated', 'duplicate', 'created', 'deduplicated']);
    const ids = started.map(idOf);
    expect([ids[2], ids[3], ids[5]]).toEqual([ids[0], ids[1], ids[4]]);
    expect(await Promise.all([ids[0], ids[4]].map((id) => statusOf(id ?? '')))).toEqual(['cancelled', 'queued']);
    expect(started[0]).toMatchObject({ dispatches: [] });
    expect(await start(keyed('a'))).toMatchObject({ flowId: ids[4] });
  });

  it('lets batches run against each other in any order', async () => {
    const names = Array.from({ length: 20 }, (_, n) => `crossed-${n}`);
    const batches = await Promise.all(
      Array.from({ length: 10 }, (_, n) => startAll(...(n % 2 === 0 ? names : names.toReversed()).map((name) => keyed(name, 'replace')))),
    );
    expect(batches.flat()).toHaveLength(200);
    const open = await store.sql(
      "SELECT FROM millrace.flows f JOIN millrace.dedupe_keys k ON k.flow_id = f.id WHERE k.key LIKE 'crossed-%' AND f.status = 'queued'",
    );
    expect(open).toHaveLength(20);
  });

  it('is not waited for without end while another transaction holds it', async () => {
    await start(keyed('locked'));
    await store.database.transaction(async (client) => {
      await client.query("SELECT FROM millrace.dedupe_keys WHERE key = 'locked' FOR UPDATE");
      await expect(start(keyed('locked'))).rejects.toMatchObject({ code: 'dependency-unavailable' });
    });
    expect((await start(keyed('locked'))).kind).toBe('deduplicated');
  });

  it('is gone with its flow', async () => {
    const first = idOf(await start(keyed('deleted', 'window', { windowMs: 60_000 })));
    await store.sql('DELETE FROM millrace.flows WHERE id = $1', [first]);
    expect((await start(keyed('deleted', 'window', { windowMs: 60_000 }))).kind).toBe('created');
  });

  it('is forgotten when it can decide nothing any more', async () => {
    const [ended, open, fresh] = [
      idOf(await start(keyed('old-ended'))),
      idOf(await start(keyed('old-open'))),
      idOf(await start(keyed('fresh'))),
    ];
    await end(ended);
    await end(fresh);
    await store.sql("UPDATE millrace.dedupe_keys SET accepted_at = now() - interval '25 days' WHERE key LIKE 'old-%'");
    expect(await pruneDedupeKeys(store.database.main, 10)).toBe(1);
    expect(
      await store.sql("SELECT flow_id FROM millrace.dedupe_keys WHERE key IN ('old-ended', 'old-open', 'fresh') ORDER BY key"),
    ).toEqual([{ flow_id: fresh }, { flow_id: open }]);
  });
});

describe('a dedupe key with an Idempotency-Key', () => {
  const both = (key: string, mode: DedupeMode, { idempotent = key, body = 'body' } = {}) =>
    keyed(key, mode, { idempotency: idempotencyKey(idempotent, body) });

  it('replays the first answer, and changes nothing again', async () => {
    const first = await start(both('both', 'replace'));
    const replays = await Promise.all(Array.from({ length: 20 }, () => start(both('both', 'replace'))));
    expect(new Set(replays.map((one) => `${one.kind} ${idOf(one)}`))).toEqual(new Set([`replayed ${idOf(first)}`]));
    expect(await statusOf(idOf(first))).toBe('queued');
  });

  it('replays that a flow was there before, too', async () => {
    const first = idOf(await start(keyed('both-existing')));
    const [found, again] = await startAll(both('both-existing', 'return'), both('both-existing', 'return'));
    expect(found).toMatchObject({ kind: 'deduplicated', flowId: first });
    expect(again).toEqual({ kind: 'replayed', status: 202, body: { id: first, status: 'queued', deduplicated: true } });
  });

  it('keeps no key for what was refused', async () => {
    const first = idOf(await start(keyed('both-refused')));
    const other = both('both-refused', 'reject', { body: 'other' });
    expect(kinds(await startAll(both('both-refused', 'reject'), both('both-refused', 'reject'), other))).toEqual([
      'duplicate',
      'duplicate',
      'key-reused',
    ]);
    await end(first);
    expect(kinds(await startAll(both('both-refused', 'reject'), other))).toEqual(['created', 'key-reused']);
  });

  it('makes one flow of parallel starts with both', async () => {
    const started = await Promise.all(
      Array.from({ length: 40 }, (_, n) => start(both('both-parallel', 'return', { idempotent: `both-parallel-${n % 4}` }))),
    );
    expect(new Set(started.map(idOf)).size).toBe(1);
    expect(kinds(started).filter((kind) => kind === 'created')).toHaveLength(1);
  });
});
