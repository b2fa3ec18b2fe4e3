// What happens to keys that come twice: in one chunk, over chunk borders, and against rows that were there before.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createImportFixture, type ImportFixture } from './test-support/import-fixture.ts';

const COLUMNS = [
  { name: 'sku', type: 'text' as const },
  { name: 'quantity', type: 'integer' as const },
];
/** Small enough that every record below ends a chunk of its own. */
const TINY_CHUNK = 4;

describe('duplicate keys', () => {
  let fixture: ImportFixture;
  beforeAll(async () => {
    fixture = await createImportFixture();
  });
  afterAll(async () => {
    await fixture.close();
  });

  const load = async (request: Parameters<ImportFixture['upload']>[0], content: string) => {
    const importId = await fixture.upload(request, content);
    await fixture.runAll(fixture.engine('worker'));
    return fixture.read(importId);
  };
  const table = async (name: string) =>
    (await fixture.rows<{ sku: string; quantity: number | null }>(`SELECT sku, quantity FROM data_default.${name} ORDER BY sku`)).map(
      (row) => [row.sku, row.quantity],
    );
  const file = (...lines: string[]) => ['sku,quantity', ...lines, ''].join('\n');

  for (const [where, chunkBytes] of [
    ['in one chunk', undefined],
    ['over chunk borders', TINY_CHUNK],
  ] as const) {
    const suffix = chunkBytes === undefined ? 'one' : 'many';
    const size = chunkBytes === undefined ? {} : { chunkBytes };

    it(`insert ${where}: the first line wins, later ones are rejected with their line`, async () => {
      const name = `insert_${suffix}`;
      await fixture.define(name, { columns: COLUMNS, key: ['sku'] });
      const done = await load({ dataset: name, ...size }, file('a,1', 'b,2', 'a,3', 'c,4', 'a,5', 'b,6'));
      expect(done).toMatchObject({
        status: 'completed',
        rows_inserted: 3,
        rows_rejected: 3,
        chunks_total: chunkBytes === undefined ? 1 : 6,
      });
      expect(await table(name)).toEqual([
        ['a', 1],
        ['b', 2],
        ['c', 4],
      ]);
      expect(await fixture.rejectsOf(done.id)).toEqual([
        [4, 'sku', 'duplicate', 'a,3'],
        [6, 'sku', 'duplicate', 'a,5'],
        [7, 'sku', 'duplicate', 'b,6'],
      ]);
    });

    it(`upsert ${where}: the last line wins, earlier ones are counted as superseded`, async () => {
      const name = `upsert_${suffix}`;
      await fixture.define(name, { columns: COLUMNS, key: ['sku'] });
      await load({ dataset: name }, file('a,1', 'b,2', 'z,9'));
      const done = await load({ dataset: name, mode: 'upsert', ...size }, file('n,1', 'a,10', 'n,2', 'b,2', 'a,11', 'n,2', 'a,11'));
      expect(done).toMatchObject({
        status: 'completed',
        rows_inserted: 1,
        rows_updated: 1,
        rows_unchanged: 1,
        rows_superseded: 4,
        rows_rejected: 0,
      });
      expect(await table(name)).toEqual([
        ['a', 11],
        ['b', 2],
        ['n', 2],
        ['z', 9],
      ]);
    });
  }

  it('insert against rows that were there: they stay as they are', async () => {
    await fixture.define('against', { columns: COLUMNS, key: ['sku'] });
    await load({ dataset: 'against' }, file('a,1'));
    const done = await load({ dataset: 'against' }, file('x,1', 'a,2', 'y,3'));
    expect(done).toMatchObject({ rows_inserted: 2, rows_rejected: 1 });
    expect(await table('against')).toEqual([
      ['a', 1],
      ['x', 1],
      ['y', 3],
    ]);
  });

  it('does not rewrite rows that are equal', async () => {
    await fixture.define('equal', { columns: COLUMNS, key: ['sku'] });
    await load({ dataset: 'equal' }, file('a,1', 'b,', 'c,3'));
    const versions = () => fixture.rows(`SELECT sku, xmin::text, ctid::text FROM data_default.equal ORDER BY sku`);
    const before = await versions();
    expect(await load({ dataset: 'equal', mode: 'upsert' }, file('a,1', 'b,', 'c,3'))).toMatchObject({
      rows_unchanged: 3,
      rows_updated: 0,
      rows_inserted: 0,
    });
    expect(await versions()).toEqual(before);
    expect(await load({ dataset: 'equal', mode: 'upsert' }, file('b,0', 'c,'))).toMatchObject({ rows_unchanged: 0, rows_updated: 2 });
    expect(await table('equal')).toEqual([
      ['a', 1],
      ['b', 0],
      ['c', null],
    ]);
  });

  it('leaves columns alone that an upsert does not bring', async () => {
    await fixture.define('partial', { columns: [...COLUMNS, { name: 'note', type: 'text' }], key: ['sku'] });
    await load({ dataset: 'partial' }, 'sku,quantity,note\na,1,keep me\n');
    expect(await load({ dataset: 'partial', mode: 'upsert' }, file('a,2'))).toMatchObject({ rows_updated: 1 });
    expect(await fixture.rows('SELECT sku, quantity, note FROM data_default.partial')).toEqual([
      { sku: 'a', quantity: 2, note: 'keep me' },
    ]);
  });

  it('knows a key of several columns, and one that is all there is', async () => {
    await fixture.define('pairs', { columns: COLUMNS, key: ['sku', 'quantity'] });
    expect(await load({ dataset: 'pairs', mode: 'upsert' }, file('a,1', 'a,2', 'a,1'))).toMatchObject({
      rows_inserted: 2,
      rows_superseded: 1,
    });
    expect(await load({ dataset: 'pairs', mode: 'upsert' }, file('a,1', 'b,1'))).toMatchObject({ rows_inserted: 1, rows_unchanged: 1 });
    expect(await load({ dataset: 'pairs' }, file('a,1', 'c,1'))).toMatchObject({ rows_inserted: 1, rows_rejected: 1 });
  });

  it('takes equal rows as they come where there is no key', async () => {
    await fixture.define('keyless', { columns: COLUMNS });
    const done = await load({ dataset: 'keyless', chunkBytes: TINY_CHUNK }, file('a,1', 'a,1', 'a,1'));
    expect(done).toMatchObject({ status: 'completed', rows_inserted: 3, rows_rejected: 0 });
    expect(await fixture.rows('SELECT _line::int AS line FROM data_default.keyless ORDER BY 1')).toEqual([
      { line: 2 },
      { line: 3 },
      { line: 4 },
    ]);
  });

  it('loads two imports into one dataset at the same time, each key once', async () => {
    await fixture.define('shared_by_two', { columns: COLUMNS, key: ['sku'] });
    const lines = (from: number) => file(...Array.from({ length: 2_000 }, (_, index) => `k${from + index},${index}`));
    await fixture.upload({ dataset: 'shared_by_two', chunkBytes: 4_000 }, lines(0));
    const first = fixture.jobs.splice(0);
    await fixture.upload({ dataset: 'shared_by_two', chunkBytes: 4_000 }, lines(1_000));
    fixture.jobs.push(...first);
    await Promise.all([fixture.runAll(fixture.engine('one')), fixture.runAll(fixture.engine('two'))]);
    const [counted] = await fixture.rows<{ rows: number; keys: number }>(
      'SELECT count(*)::int AS rows, count(DISTINCT sku)::int AS keys FROM data_default.shared_by_two',
    );
    expect(counted).toEqual({ rows: 3_000, keys: 3_000 });
    const [totals] = await fixture.rows(
      "SELECT sum(rows_inserted)::int AS inserted, sum(rows_rejected)::int AS rejected FROM millrace.imports WHERE dataset = 'shared_by_two' AND status = 'completed'",
    );
    expect(totals).toEqual({ inserted: 3_000, rejected: 1_000 });
  });
});
