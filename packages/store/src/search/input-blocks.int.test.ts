// Searches of inputs with blocks find what searches without them find, whatever is searched, and look at next to nothing for what is not there.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '@millrace/testing';
import { createStoreFixture, type StoreFixture } from '../test-support/store-fixture.ts';
import { BLOCK_FLOWS, createInputIndexer } from './index-inputs.ts';
import { searchFlowIds } from './search-flows.ts';

const FLOWS = 5_500;
let store: StoreFixture;

/** Flows `from`..`to`, of which every third belongs to somebody else. */
async function bulk(from: number, to: number): Promise<void> {
  await store.sql(
    `INSERT INTO millrace.flows (id, workspace, name, version, status, input, tags, priority, seq_last, phases_total, phases_open, phases_active, created_by)
     SELECT (lpad(to_hex(1600000000000 + n), 12, '0') || '70008000000000000000')::uuid, CASE WHEN n % 3 = 0 THEN 'elsewhere' ELSE 'default' END, 'bulk', 1, 'completed',
       jsonb_build_object('n', n, 'list', jsonb_build_array(n % 500, jsonb_build_object('deep', 'd' || (n % 900)))), '{}', 50, 1, 1, 0, 0, 'test'
     FROM generate_series($1::int, $2::int) n`,
    [from, to],
  );
}

const blocks = () =>
  store.sql<{ workspace: string; after_id: string; last_id: string; isOpen: boolean }>(
    'SELECT workspace, after_id, last_id, bits IS NULL AS "isOpen" FROM millrace.input_blocks ORDER BY workspace, last_id',
  );

/** Until nothing is left to be made. Other transactions on the server may hold it up. */
async function indexAll(expected: number): Promise<void> {
  const indexer = createInputIndexer(store.database, 0);
  await eventually(
    async () => {
      await indexer.runOnce();
      expect(await blocks()).toHaveLength(expected);
    },
    { withinMs: 30_000 },
  );
}

async function search(input: string, workspace = 'default') {
  const walk = await store.database.transaction((client) =>
    searchFlowIds(client, { workspace, inputs: [[input]] }, { hitsMax: 10_000, rowsMax: 1_000_000, budgetMs: 60_000 }),
  );
  expect(walk.reached).toBeNull();
  return walk.ids;
}

const plain = async (input: string, workspace = 'default') =>
  (
    await store.sql<{ id: string }>('SELECT id FROM millrace.flows WHERE workspace = $1 AND input @> $2 ORDER BY id DESC', [
      workspace,
      input,
    ])
  ).map((row) => row.id);

beforeAll(async () => {
  store = await createStoreFixture();
  await store.sql("INSERT INTO millrace.workspaces (name) VALUES ('elsewhere')");
  await bulk(1, FLOWS);
  await indexAll(4);
}, 60_000);

afterAll(async () => {
  await store.close();
});

describe('blocks of inputs', () => {
  it('cover full thousands of each workspace without a gap', async () => {
    const found = await blocks();
    expect(found.map(({ workspace, isOpen }) => [workspace, isOpen])).toEqual([
      ['default', false],
      ['default', false],
      ['default', false],
      ['elsewhere', false],
    ]);
    expect(found[1]?.after_id).toBe(found[0]?.last_id);
    const inside = await store.sql("SELECT FROM millrace.flows WHERE workspace = 'default' AND id <= $1", [found[2]?.last_id]);
    expect(inside).toHaveLength(3 * BLOCK_FLOWS);
  });

  it.each([
    '{"n":1}',
    '{"n":4000}',
    '{"n":5500}',
    '{"n":3}',
    '{"n":-1}',
    '{"list":[499]}',
    '{"list":[{"deep":"d7"}]}',
    '{"n":"1"}',
    '{"list":[{}]}',
    '{"n":4e3}',
  ])('hide nothing from a search for %s', async (input) => {
    expect(await search(input)).toEqual(await plain(input));
    expect(await search(input, 'elsewhere')).toEqual(await plain(input, 'elsewhere'));
  });

  it('leave what is new, or too large to be told, to be looked at', async () => {
    await store.sql(
      `UPDATE millrace.flows SET input = input || jsonb_build_object('big', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 9000) i)) WHERE input @> '{"n":5000}'`,
    );
    await bulk(FLOWS + 1, FLOWS + 2_000);
    await indexAll(7);
    expect((await blocks()).map(({ isOpen }) => isOpen)).toEqual([false, false, false, true, false, false, false]);
    for (const input of ['{"n":7500}', '{"n":6001}', '{"n":5000}', '{"list":[1]}']) expect(await search(input)).toEqual(await plain(input));
  }, 60_000);

  it('are forgotten with their flows', async () => {
    const [first] = await blocks();
    await store.sql("DELETE FROM millrace.flows WHERE workspace = 'default' AND id <= $1", [first?.last_id]);
    await createInputIndexer(store.database, 0).runOnce();
    expect((await blocks()).filter((block) => block.last_id === first?.last_id && block.workspace === 'default')).toEqual([]);
    expect(await search('{"n":2500}')).toEqual(await plain('{"n":2500}'));
  });
});
