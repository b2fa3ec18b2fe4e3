// Searches and counts of flows: what they find, and that none looks at more than it may.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { failPhase } from '../flows/fail-phase.ts';
import { createStoreFixture, WORKER, type MadeFlow, type StoreFixture } from '../test-support/store-fixture.ts';
import type { FlowFilter } from './flow-filter.ts';
import { countFlows, searchFlows } from './search-flows.ts';

let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

describe('a search of flows', () => {
  let workspaces = 0;
  let workspace: string;
  const add = async (changes: Parameters<StoreFixture['make']>[1] = {}) => store.make([[]], { workspace, ...changes });
  const list = async ({ before, limit = 50, ...filter }: Partial<FlowFilter> & { before?: string; limit?: number } = {}) =>
    (await searchFlows(store.database, { workspace, ...filter }, { limit, ...(before === undefined ? {} : { before }) })).flows.map((flow) => flow.id);
  const ids = (...flows: readonly MadeFlow[]) => flows.map((flow) => flow.flowId);

  function ownWorkspace(): void {
    workspaces += 1;
    workspace = `list-${workspaces}`;
  }

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
});
