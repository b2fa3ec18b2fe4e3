// The REST surface of datasets and imports: definitions, what is refused and where, lists, rows, rejects, formats.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createImportApi, type ImportApi } from '../uploads/test-support/import-api.ts';

type Problem = { status: number; code: string; errors: { pointer: string; code: string }[] };

describe('datasets and imports over REST', () => {
  let api: ImportApi;
  beforeAll(async () => {
    api = await createImportApi();
  });
  afterAll(async () => {
    await api.close();
  });

  const put = <Body = Record<string, unknown>>(name: string, body: unknown) =>
    api.client.send<Body>(`/v1/datasets/${name}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const sku = { name: 'sku', type: 'text' };
  const pointersOf = (answer: { body: Problem }) => [answer.body.status, ...answer.body.errors.map(({ pointer }) => pointer)];

  it('creates a dataset, then evolves it, and refuses what would lose or change data', async () => {
    const definition = {
      columns: [
        { ...sku, aliases: ['Article'] },
        { name: 'price', type: 'numeric', min: 0 },
      ],
      key: ['sku'],
    };
    const created = await put('goods', definition);
    expect([created.status, created.headers.get('location')]).toEqual([201, '/v1/datasets/goods']);
    expect(created.body).toMatchObject({ name: 'goods', ...definition });
    expect((await put('goods', definition)).status).toBe(200);
    const wider = { columns: [...definition.columns, { name: 'note', type: 'text' }], key: ['sku'] };
    expect((await put('goods', wider)).status).toBe(200);
    expect((await api.client.get('/v1/datasets/goods')).body).toMatchObject(wider);
    for (const refused of [
      { columns: [sku, { name: 'price', type: 'double' }, { name: 'note', type: 'text' }], key: ['sku'] },
      { columns: [sku, { name: 'price', type: 'numeric' }], key: ['sku'] },
      { ...wider, key: [] },
      { columns: [...wider.columns, { name: 'must', type: 'text', required: true }], key: ['sku'] },
    ])
      expect((await put('goods', refused)).body).toMatchObject({ status: 409, code: 'invalid-state' });
  });

  it('refuses definitions that cannot be, with pointers', async () => {
    const refusals: [unknown, ...unknown[]][] = [
      [{ columns: [] }, '/columns'],
      [{ columns: [{ name: '"; drop', type: 'text' }] }, '/columns/0/name'],
      [{ columns: [{ name: '_hidden', type: 'text' }] }, '/columns/0/name'],
      [{ columns: [{ name: 'extra', type: 'json' }] }, '/columns/0/name'],
      [{ columns: [{ name: 'ctid', type: 'text' }] }, '/columns/0/name'],
      [{ columns: [{ name: 'a', type: 'money' }] }, '/columns/0/type'],
      [{ columns: [sku, sku] }, '/columns/1/name'],
      [{ columns: [sku], key: ['other'] }, '/key/0'],
      [{ columns: [{ name: 'a', type: 'json' }], key: ['a'] }, '/key/0'],
      [{ columns: [{ name: 'a', type: 'enum' }] }, '/columns/0/values'],
      [{ columns: [{ name: 'a', type: 'text', min: 1 }] }, '/columns/0/min'],
      [{ columns: [{ name: 'a', type: 'date', max: 'soon' }] }, '/columns/0/max'],
      [{ columns: [{ name: 'a', type: 'integer', min: 5, max: '4' }] }, '/columns/0/max'],
      [{ columns: [{ name: 'a', type: 'date', min: '2024-01-02', max: '2024-01-01' }] }, '/columns/0/max'],
      [{ columns: [{ name: 'a', type: 'text', pattern: '(?=x)' }] }, '/columns/0/pattern'],
      [{ columns: [sku], colour: 1 }, '/colour'],
    ];
    for (const [body, ...pointers] of refusals) expect(pointersOf(await put<Problem>('refused', body))).toEqual([422, ...pointers]);
    expect((await put('Bad-Name', { columns: [sku] })).status).toBe(422);
    expect((await api.client.get('/v1/datasets/refused')).status).toBe(404);
    expect((await api.client.get(`/v1/datasets/${encodeURIComponent('"; drop table x')}`)).status).toBe(404);
    expect((await api.client.send('/v1/datasets/nothing', { method: 'DELETE' })).status).toBe(404);
  });

  it('takes names that are words of SQL', async () => {
    const columns = ['select', 'position', 'r', 'user'].map((name) => ({ name, type: 'text' }));
    expect((await put('table', { columns, key: ['select', 'r'] })).status).toBe(201);
    await api.database.main.query(
      `INSERT INTO data_default."table" ("select", position, r, "user", _import_id, _line) VALUES ('a', 'b', 'c', 'd', gen_random_uuid(), 2), ('e', 'f', 'g', 'h', gen_random_uuid(), 3)`,
    );
    const first = await api.client.get<{ items: unknown[]; nextCursor: string }>('/v1/datasets/table/rows?limit=1');
    expect(first.body.items).toEqual([{ select: 'a', position: 'b', r: 'c', user: 'd' }]);
    expect((await api.client.get<{ items: unknown[] }>(`/v1/datasets/table/rows?limit=1&cursor=${first.body.nextCursor}`)).body).toEqual({
      items: [{ select: 'e', position: 'f', r: 'g', user: 'h' }],
      nextCursor: null,
    });
    expect((await api.client.get('/v1/datasets/table/rows', { accept: 'text/csv' })).body).toBe(
      'select,position,r,user\na,b,c,d\ne,f,g,h\n',
    );
    expect((await put('table_pkey', { columns: [sku], key: ['sku'] })).status).toBe(201);
  });

  it('does not go on with a cursor in a dataset that was made anew', async () => {
    const make = async () => {
      await put('renewed', { columns: [sku], key: ['sku'] });
      await api.database.main.query(
        "INSERT INTO data_default.renewed (sku, _import_id, _line) VALUES ('a', gen_random_uuid(), 2), ('b', gen_random_uuid(), 3)",
      );
    };
    await make();
    const { nextCursor } = (await api.client.get<{ nextCursor: string }>('/v1/datasets/renewed/rows?limit=1')).body;
    const next = `/v1/datasets/renewed/rows?limit=1&cursor=${nextCursor}`;
    expect((await api.client.get(next)).status).toBe(200);
    const headers = { authorization: `Bearer ${api.adminKey}` };
    expect((await fetch(`${api.baseUrl}/v1/datasets/renewed`, { method: 'DELETE', headers })).status).toBe(204);
    expect((await api.client.get(next)).status).toBe(404);
    await make();
    expect((await api.client.get(next)).body).toMatchObject({ code: 'invalid-cursor' });
  });

  it('shows rows with every digit, and as CSV that a spreadsheet cannot run', async () => {
    const types = ['text', 'integer', 'bigint', 'numeric', 'double', 'boolean', 'date', 'timestamptz', 'uuid', 'inet', 'json'];
    await put('kinds', { columns: types.map((type) => ({ name: `c_${type}`, type })), key: ['c_bigint'] });
    await api.database.main.query(`INSERT INTO data_default.kinds VALUES
      ('=1+1', 7, 9007199254740993, 1.10, 0.1, true, '2024-02-29', '2024-01-01 12:00:00.5+02', '0189d7aa-0000-7000-8000-000000000001', '10.0.0.1/8', '{"big": 12345678901234567890}', gen_random_uuid(), 2),
      ('-5', null, 10, null, null, null, null, '2024-01-01 00:00:00.000001Z', null, null, null, gen_random_uuid(), 3), ('', null, 9, null, null, null, null, null, null, null, null, gen_random_uuid(), 4)`);
    const response = await fetch(`${api.baseUrl}/v1/datasets/kinds/rows`, { headers: { authorization: `Bearer ${api.adminKey}` } });
    const text = await response.text();
    expect(text).toContain('"big": 12345678901234567890');
    expect((JSON.parse(text) as { items: unknown[] }).items.slice(1)).toEqual([
      expect.objectContaining({ c_text: '-5', c_bigint: '10', c_timestamptz: '2024-01-01T00:00:00.000001Z', c_numeric: null }),
      {
        c_text: '=1+1',
        c_integer: 7,
        c_bigint: '9007199254740993',
        c_numeric: '1.10',
        c_double: 0.1,
        c_boolean: true,
        c_date: '2024-02-29',
        c_timestamptz: '2024-01-01T10:00:00.500Z',
        c_uuid: '0189d7aa-0000-7000-8000-000000000001',
        c_inet: '10.0.0.1/8',
        c_json: { big: 12345678901234567000 },
      },
    ]);
    const csv = await api.client.get<string>('/v1/datasets/kinds/rows', { accept: 'text/csv' });
    expect(csv.headers.get('content-type')).toContain('text/csv');
    const lines = csv.body.trimEnd().split('\n');
    expect(lines.slice(1)).toEqual([
      '"",,9,,,,,,,,',
      '-5,,10,,,,,2024-01-01T00:00:00.000001Z,,,',
      `'=1+1,7,9007199254740993,1.10,0.1,true,2024-02-29,2024-01-01T10:00:00.500Z,0189d7aa-0000-7000-8000-000000000001,10.0.0.1/8,"{""big"": 12345678901234567890}"`,
    ]);
    const head = await fetch(`${api.baseUrl}/v1/datasets/kinds/rows`, {
      method: 'HEAD',
      headers: { authorization: `Bearer ${api.adminKey}`, accept: 'text/csv' },
    });
    expect([head.status, head.headers.get('content-type')]).toEqual([200, 'text/csv; charset=utf-8; header=present']);
  });

  it('streams a big dataset whole, also to many readers one after the other', async () => {
    await put('many', { columns: [{ name: 'n', type: 'integer' }], key: ['n'] });
    await api.database.main.query('INSERT INTO data_default.many SELECT n, gen_random_uuid(), n FROM generate_series(1, 200000) n');
    for (let reader = 0; reader < 12; reader += 1) {
      const response = await fetch(`${api.baseUrl}/v1/datasets/many/rows`, {
        headers: { authorization: `Bearer ${api.adminKey}`, accept: 'text/csv' },
      });
      if (reader % 2 === 0) await response.body?.cancel();
      else expect((await response.text()).split('\n')).toHaveLength(200_002);
    }
  });

  it('refuses imports that cannot be, with pointers', async () => {
    await put('target', { columns: [sku, { name: 'quantity', type: 'integer' }], key: ['sku'] });
    await put('unkeyed', { columns: [sku] });
    const refusals: [object, ...string[]][] = [
      [{ dataset: 'nothing', mode: 'insert' }, '/dataset'],
      [{ dataset: 'target' }, '/mode'],
      [{ dataset: 'target', mode: 'replace' }, '/mode'],
      [{ dataset: 'unkeyed', mode: 'upsert' }, '/mode'],
      [{ dataset: 'target', mode: 'insert', dryRun: true }, '/dryRun'],
      [{ dataset: 'target', mode: 'insert', source: { url: 'http://127.0.0.1/' } }, '/source'],
      [{ dataset: 'target', mode: 'insert', format: 'parquet' }, '/format'],
      [{ dataset: 'target', mode: 'insert', maxRejects: -1 }, '/maxRejects'],
      [{ dataset: 'target', mode: 'insert', mapping: { a: '"; drop', b: 'sku', c: 'sku' } }, '/mapping/a', '/mapping/c'],
      [{ dataset: 'target', mode: 'insert', csv: { delimiter: ',,' } }, '/csv/delimiter'],
      [{ dataset: 'target', mode: 'insert', csv: { delimiter: '"' } }, '/csv/delimiter'],
      [{ dataset: 'target', mode: 'insert', csv: { delimiter: '\n' } }, '/csv/delimiter'],
      [{ dataset: 'target', mode: 'insert', csv: { encoding: 'utf-7' } }, '/csv/encoding'],
    ];
    for (const [body, ...pointers] of refusals)
      expect(pointersOf(await api.client.post<Problem>('/v1/imports', body))).toEqual([422, ...pointers]);
  });

  it('makes one import per idempotency key', async () => {
    const body = { dataset: 'target', mode: 'insert', maxRejects: 5 };
    const headers = { 'idempotency-key': 'import-1' };
    const answers = await Promise.all(Array.from({ length: 20 }, () => api.client.post<{ id: string }>('/v1/imports', body, headers)));
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([201]));
    expect(new Set(answers.map((answer) => answer.body.id)).size).toBe(1);
    expect(answers.filter((answer) => answer.headers.get('idempotency-replayed') === 'true')).toHaveLength(19);
    expect(new Set(answers.map((answer) => JSON.stringify(answer.body))).size).toBe(1);
    expect((await api.client.post('/v1/imports', { ...body, maxRejects: 6 }, headers)).body).toMatchObject({
      status: 422,
      code: 'idempotency-key-reused',
    });
    expect((await api.client.post('/v1/imports', { dataset: 'nothing', mode: 'insert' }, { 'idempotency-key': 'import-2' })).status).toBe(
      422,
    );
    expect((await api.client.post('/v1/imports', body, { 'idempotency-key': 'import-2' })).status).toBe(201);
  });

  it('lists datasets by name and imports newest first, in pages, filtered', async () => {
    for (let count = 0; count < 3; count += 1) await api.client.post('/v1/imports', { dataset: 'unkeyed', mode: 'insert' });
    type Page = { items: { id: string; name: string; dataset: string; status: string }[]; nextCursor: string | null };
    const first = (await api.client.get<Page>('/v1/imports?dataset=unkeyed&limit=2')).body;
    const second = (await api.client.get<Page>(`/v1/imports?dataset=unkeyed&limit=2&cursor=${first.nextCursor}`)).body;
    const ids = [...first.items, ...second.items].map(({ id }) => id);
    expect([ids.length, second.nextCursor]).toEqual([3, null]);
    expect(ids).toEqual([...ids].sort().reverse());
    expect((await api.client.get<Page>('/v1/imports?status=completed,failed')).body.items).toEqual([]);
    expect((await api.client.get<Page>('/v1/imports?status=awaiting_content&limit=1')).body.items[0]?.status).toBe('awaiting_content');
    expect((await api.client.get('/v1/imports?status=nonsense')).status).toBe(422);
    expect((await api.client.get(`/v1/imports?dataset=target&cursor=${first.nextCursor}`)).body).toMatchObject({
      status: 400,
      code: 'invalid-cursor',
    });
    const names = (await api.client.get<Page>('/v1/datasets?limit=200')).body.items.map(({ name }) => name);
    expect(names).toEqual([...names].sort());
  });

  it('lists rejects in pages and as CSV', async () => {
    const { id } = (await api.client.post<{ id: string }>('/v1/imports', { dataset: 'unkeyed', mode: 'insert' })).body;
    await api.database.main.query(
      `INSERT INTO millrace.import_rejects (import_id, workspace, line, column_name, code, message, raw)
       SELECT $1, 'default', n, 'sku', 'type', 'wrong', '=cmd,"' || n || '"' FROM generate_series(2, 4) n`,
      [id],
    );
    await api.database.main.query('UPDATE millrace.imports SET rows_rejected = 5, rejects_kept = 3 WHERE id = $1', [id]);
    type Page = { items: { line: number }[]; nextCursor: string | null; total: number; truncated: boolean };
    const first = (await api.client.get<Page>(`/v1/imports/${id}/rejects?limit=2`)).body;
    expect(first).toMatchObject({
      items: [{ line: 2, column: 'sku', code: 'type', message: 'wrong', raw: '=cmd,"2"' }, { line: 3 }],
      total: 5,
      truncated: true,
    });
    expect((await api.client.get<Page>(`/v1/imports/${id}/rejects?limit=2&cursor=${first.nextCursor}`)).body).toMatchObject({
      items: [{ line: 4 }],
      nextCursor: null,
    });
    expect((await api.client.get<string>(`/v1/imports/${id}/rejects`, { accept: 'text/csv' })).body.split('\n').slice(0, 2)).toEqual([
      'line,column,code,message,raw',
      `2,sku,type,wrong,"'=cmd,""2"""`,
    ]);
  });
});
