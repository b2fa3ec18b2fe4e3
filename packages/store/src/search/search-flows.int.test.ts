// Searches and counts of flows: what they find, and that none looks at more than it may.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { failPhase } from '../flows/fail-phase.ts';
import { createStoreFixture, WORKER, type MadeFlow, type StoreFixture } from '../test-support/store-fixture.ts';
import type { FlowFilter } from './flow-filter.ts';
import { countFlows, previewFlows, searchFlowIds, searchFlows } from './search-flows.ts';

let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

let workspaces = 0;
let workspace: string;
const add = async (changes: Parameters<StoreFixture['make']>[1] = {}) => store.make([[]], { workspace, ...changes });
const list = async ({ before, limit = 50, ...filter }: Partial<FlowFilter> & { before?: string; limit?: number } = {}) =>
  (await searchFlows(store.database, { workspace, ...filter }, { limit, ...(before === undefined ? {} : { before }) })).flows.map(
    (flow) => flow.id,
  );
const ids = (...flows: readonly MadeFlow[]) => flows.map((flow) => flow.flowId);

function ownWorkspace(): void {
  workspaces += 1;
  workspace = `list-${workspaces}`;
}

describe('a search of flows', () => {
  it('answers the newest first, of this workspace only, page after page', async () => {
    ownWorkspace();
    const flows = [await add(), await add(), await add(), await add(), await add()];
    await store.make([[]], { workspace: 'somebody-else' });
    const newest = ids(...flows.toReversed());
    expect(await list()).toEqual(newest);
    expect(await list({ limit: 2 })).toEqual(newest.slice(0, 2));
    expect(await list({ limit: 2, before: newest[1] ?? '' })).toEqual(newest.slice(2, 4));
    expect(await list({ limit: 2, before: newest[4] ?? '' })).toEqual([]);
  });

  it('filters by status, name and all of the tags', async () => {
    ownWorkspace();
    const [plain, named, tagged] = [await add(), await add({ name: 'other' }), await add({ tags: { team: 'a', site: 'x:y' } })];
    await store.claim([plain.phaseId(0)]);
    expect(await list({ statuses: ['running'] })).toEqual(ids(plain));
    expect(await list({ statuses: ['running', 'queued'] })).toHaveLength(3);
    expect(await list({ flow: 'other' })).toEqual(ids(named));
    expect(await list({ tags: { team: 'a' } })).toEqual(ids(tagged));
    expect(await list({ tags: { team: 'a', site: 'x:y' } })).toEqual(ids(tagged));
    expect(await list({ tags: { team: 'a', site: 'x' } })).toEqual([]);
    expect(await list({ tags: {} })).toHaveLength(3);
    expect(await list({ flow: 'other', tags: { team: 'a' } })).toEqual([]);
  });

  it('leaves out what was created at the given time, as clients are shown it', async () => {
    ownWorkspace();
    const [first, second] = [await add(), await add()];
    await store.sql("UPDATE millrace.flows SET created_at = '2026-01-02T03:04:05.678901Z' WHERE id = $1", [first.flowId]);
    await store.sql("UPDATE millrace.flows SET created_at = '2026-01-02T03:04:05.679001Z' WHERE id = $1", [second.flowId]);
    const shown = await searchFlows(store.database, { workspace }, { limit: 1, before: second.flowId });
    expect(await list({ createdAfter: shown.flows[0]?.created_at.toISOString() ?? '' })).toEqual(ids(second));
    expect(await list({ createdAfter: '2026-01-02T04:04:05.677+01:00' })).toEqual(ids(second, first));
  });

  it('finds literal text whatever its case, in id, name, tags and error', async () => {
    ownWorkspace();
    const [named, tagged, failed] = [
      await add({ name: 'Nightly-Report' }),
      await add({ tags: { Team: 'Blue Whale', quote: 'say "hi"' } }),
      await add(),
    ];
    const [phase] = await store.claim([failed.phaseId(0)]);
    await failPhase(store.database, {
      id: failed.phaseId(0),
      fence: phase?.fence ?? 0,
      worker: WORKER,
      error: { code: 'ECONNRESET', message: 'Socket "hang" up' },
      retryDelayMs: null,
    });
    expect(await list({ q: 'nightly-r' })).toEqual(ids(named));
    expect(await list({ q: named.flowId.toUpperCase() })).toEqual(ids(named));
    expect(await list({ q: 'blue whale' })).toEqual(ids(tagged));
    expect(await list({ q: 'team:blue' })).toEqual(ids(tagged));
    expect(await list({ q: 'say "HI"' })).toEqual(ids(tagged));
    expect(await list({ q: 'econnreset' })).toEqual(ids(failed));
    expect(await list({ q: 'socket "hang"' })).toEqual(ids(failed));
    expect(await list({ q: 'p0' })).toEqual(ids(failed));
  });

  it('does not take the characters of patterns for patterns', async () => {
    ownWorkspace();
    const [percent, underscore, backslash] = [
      await add({ tags: { rate: '100%' } }),
      await add({ tags: { rate: 'a_b' } }),
      await add({ tags: { path: 'c:\\temp' } }),
    ];
    await add({ tags: { rate: 'axb 100' } });
    expect(await list({ q: '100%' })).toEqual(ids(percent));
    expect(await list({ q: 'a_b' })).toEqual(ids(underscore));
    expect(await list({ q: 'c:\\temp' })).toEqual(ids(backslash));
    expect(await list({ q: "'; DROP TABLE x; --" })).toEqual([]);
  });

  it('does not find the words and signs that only the storage uses', async () => {
    ownWorkspace();
    const flow = await add({ tags: { a: 'b' } });
    await store.sql(`UPDATE millrace.flows SET error = '{"phase":"p0","code":"E1","message":"no"}' WHERE id = $1`, [flow.flowId]);
    for (const q of ['message', 'code', '"', '{', 'phase']) expect([q, await list({ q })]).toEqual([q, []]);
  });

  it('finds the concurrency key by its parts', async () => {
    ownWorkspace();
    const keyed = await add({ extras: { concurrency: { key: 'Tenant-42', limit: 1 } } });
    await add();
    expect(await list({ q: 'tenant-4' })).toEqual(ids(keyed));
  });

  it('filters by the times of creation and of the end', async () => {
    ownWorkspace();
    const [open, early, late] = [await add(), await add(), await add()];
    await store.sql(
      "/* forged */ UPDATE millrace.flows SET status = 'completed', finished_at = created_at + interval '10 s' WHERE id = $1",
      [early.flowId],
    );
    await store.sql(
      "/* forged */ UPDATE millrace.flows SET status = 'completed', finished_at = created_at + interval '20 s' WHERE id = $1",
      [late.flowId],
    );
    const [{ created_at: created, finished_at: finished } = { created_at: new Date(0), finished_at: new Date(0) }] = await store.sql<{
      created_at: Date;
      finished_at: Date;
    }>('SELECT created_at, finished_at FROM millrace.flows WHERE id = $1', [early.flowId]);
    expect(await list({ finishedAfter: finished.toISOString() })).toEqual(ids(late));
    expect(await list({ finishedBefore: new Date(finished.getTime() + 5_000).toISOString() })).toEqual(ids(early));
    expect(await list({ createdBefore: created.toISOString() })).toEqual(ids(open));
    expect(await list({ createdAfter: '2020-01-01T00:00:00.000Z', createdBefore: '2120-01-01T00:00:00.000Z' })).toHaveLength(3);
  });

  it('finds errors by a part of their phase, code or message', async () => {
    ownWorkspace();
    const [other, failed] = [await add({ tags: { note: 'timeout' } }), await add()];
    await store.sql(`UPDATE millrace.flows SET error = '{"phase":"load","code":"ETIMEDOUT","message":"gone 100%"}' WHERE id = $1`, [
      failed.flowId,
    ]);
    for (const error of ['timedout', 'LOAD', '100%']) expect(await list({ error })).toEqual(ids(failed));
    for (const error of ['timeout', 'message', '"']) expect(await list({ error })).toEqual([]);
    expect(await list({ error: 'gone', statuses: ['failed'] })).toEqual([]);
    expect(other.flowId < failed.flowId).toBe(true);
  });

  it('finds inputs that contain one alternative of each', async () => {
    ownWorkspace();
    const [number, text, list_] = [
      await add({ inputJson: '{"customer":{"id":42},"n":1}' }),
      await add({ inputJson: '{"customer":{"id":"42"}}' }),
      await add({ inputJson: '{"items":[{"sku":"a"},{"sku":"b"}],"n":1.0}' }),
    ];
    expect(await list({ inputs: [['{"customer":{"id":42}}', '{"customer":{"id":"42"}}']] })).toEqual(ids(text, number));
    expect(await list({ inputs: [['{"customer":{"id":42}}']] })).toEqual(ids(number));
    expect(await list({ inputs: [['{"items":[{"sku":"b"}]}']] })).toEqual(ids(list_));
    expect(await list({ inputs: [['{"n":1}'], ['{"items":[{"sku":"a"}]}']] })).toEqual(ids(list_));
    expect(await list({ inputs: [['{"n":1}'], ['{"n":2}']] })).toEqual([]);
  });

  it('joins several statuses in one order, completed ones among them', async () => {
    ownWorkspace();
    const flows: MadeFlow[] = [];
    for (let n = 0; n < 12; n += 1) flows.push(await add({ name: n % 2 === 0 ? 'even' : 'odd' }));
    const status = ['queued', 'failed', 'completed', 'running'];
    for (const [n, flow] of flows.entries())
      await store.sql('/* forged */ UPDATE millrace.flows SET status = $2 WHERE id = $1', [flow.flowId, status[n % 4]]);
    const of = (...wanted: string[]) => ids(...flows.filter((_, n) => wanted.includes(status[n % 4] ?? '')).toReversed());
    expect(await list({ statuses: ['failed', 'queued'] })).toEqual(of('failed', 'queued'));
    expect(await list({ statuses: ['completed', 'failed'] })).toEqual(of('completed', 'failed'));
    expect(await list({ statuses: ['failed', 'queued'], flow: 'even' })).toEqual(of('queued'));
    expect(await list({ statuses: [] })).toEqual([]);
    expect(await list({ statuses: ['failed', 'queued'], limit: 2, before: of('failed', 'queued')[1] ?? '' })).toEqual(
      of('failed', 'queued').slice(2, 4),
    );
  });
});

/** Flows made in bulk: every `n`th one has the tag and the input that say so. */
async function bulk(count: number): Promise<void> {
  await store.sql(
    `INSERT INTO millrace.flows (id, workspace, name, version, status, input, tags, priority, seq_last, phases_total, phases_open, phases_active, created_by)
     SELECT (lpad(to_hex(1600000000000 + n), 12, '0') || '7' || repeat('0', 3) || '8' || repeat('0', 15))::uuid, $1, 'bulk', 1, CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'completed' END,
       jsonb_build_object('n', n, 'mod', jsonb_build_array(jsonb_build_object('of7', n % 7)), 'text', 'x' || n), jsonb_build_object('mod', (n % 100)::text), 50, 1, 1, 0, 0, 'test'
     FROM generate_series(1, $2::int) n`,
    [workspace, count],
  );
}

const idOf = (n: number) =>
  `${(1_600_000_000_000 + n)
    .toString(16)
    .padStart(12, '0')
    .replace(/^(.{8})/, '$1-')}-7000-8000-000000000000`;

/** All pages of a search, with the most that any page had. */
async function allPages(filter: Partial<FlowFilter>, limit: number): Promise<string[]> {
  const found: string[] = [];
  let before: string | null | undefined;
  while (before !== null) {
    const page: Awaited<ReturnType<typeof searchFlows>> = await searchFlows(
      store.database,
      { workspace, ...filter },
      { limit, ...(before === undefined ? {} : { before }) },
    );
    expect(page.flows.length).toBeLessThanOrEqual(limit);
    found.push(...page.flows.map((flow) => flow.id));
    before = page.next;
  }
  return found;
}

const descending = (count: number, wanted: (n: number) => boolean) =>
  Array.from({ length: count }, (_, index) => count - index)
    .filter((n) => wanted(n))
    .map((n) => idOf(n));

describe('a search among many flows', () => {
  const COUNT = 6_000;

  beforeAll(async () => {
    ownWorkspace();
    await bulk(COUNT);
  });

  it.each<[string, Partial<FlowFilter>, (n: number) => boolean]>([
    ['text', { q: 'mod:42' }, (n) => n % 100 === 42],
    ['a rare tag', { tags: { mod: '42' } }, (n) => n % 100 === 42],
    ['an input', { inputs: [['{"mod":[{"of7":3}]}']] }, (n) => n % 7 === 3],
    ['status and text', { statuses: ['failed'], q: 'mod:40' }, (n) => n % 100 === 40],
    ['status and name', { statuses: ['failed'], flow: 'bulk' }, (n) => n % 10 === 0],
    ['a completed status', { statuses: ['completed'], tags: { mod: '10' } }, () => false],
    [
      'everything at once',
      { statuses: ['failed'], flow: 'bulk', tags: { mod: '40' }, q: 'bulk', inputs: [['{"mod":[{"of7":3}]}']] },
      (n) => n % 100 === 40 && n % 7 === 3,
    ],
  ])('finds all there is by %s, page by page, none twice', async (_, filter, wanted) => {
    expect(await allPages(filter, 37)).toEqual(descending(COUNT, wanted));
    expect(await countFlows(store.database, { workspace, ...filter })).toEqual({ count: descending(COUNT, wanted).length, capped: false });
  });

  it('ends where it may look no further, and says from where to go on', async () => {
    const limits = { hitsMax: 10, rowsMax: 1, budgetMs: 60_000 };
    const first = await store.database.transaction((client) => searchFlowIds(client, { workspace, q: 'mod:100' }, limits));
    expect(first).toEqual({ ids: [], reached: idOf(COUNT - 199) });
    const found = [];
    let before: string | null = first.reached;
    for (let pages = 1; before !== null; pages += 1) {
      if (pages > 100) throw new Error('it does not come to an end');
      const from: string = before;
      const page = await store.database.transaction((client) =>
        searchFlowIds(client, { workspace, q: 'x17' }, { ...limits, before: from }),
      );
      found.push(...page.ids);
      before = page.reached;
    }
    expect(found).toEqual([]);
  });

  it('counts up to a limit and says so', async () => {
    const limits = { max: 100, rowsMax: 1_000_000, budgetMs: 60_000 };
    expect(await countFlows(store.database, { workspace }, limits)).toEqual({ count: 100, capped: true });
    expect(await countFlows(store.database, { workspace, tags: { mod: '7' } }, limits)).toEqual({ count: 60, capped: false });
    expect(await countFlows(store.database, { workspace, q: 'no such thing' }, { ...limits, rowsMax: 1 })).toEqual({
      count: 0,
      capped: true,
    });
    expect(await previewFlows(store.database, { workspace, statuses: ['failed'] }, 2)).toEqual({
      count: 600,
      capped: false,
      sample: [idOf(6_000), idOf(5_990)],
    });
  });

  it('sees nothing of another workspace', async () => {
    expect(await countFlows(store.database, { workspace: 'somebody-else-entirely', tags: { mod: '7' } })).toEqual({
      count: 0,
      capped: false,
    });
  });
});
