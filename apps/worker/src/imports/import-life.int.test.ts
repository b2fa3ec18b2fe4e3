// The life of an import beyond the plain case: rejects, limits, refused rows, NDJSON, events, cancel, retry, changed files, workspaces.
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cancelImport, openImported, readEvents, readImportHead, retryImport } from '@millrace/store';
import { createImportFixture, type ImportFixture } from './test-support/import-fixture.ts';

const COLUMNS = [
  { name: 'sku', type: 'text' as const },
  { name: 'quantity', type: 'integer' as const, min: 0 },
];

describe('imports', () => {
  let fixture: ImportFixture;
  beforeAll(async () => {
    fixture = await createImportFixture();
  });
  afterAll(async () => {
    await fixture.close();
  });

  const file = (...lines: string[]) => ['sku,quantity', ...lines, ''].join('\n');
  const eventsOf = async (importId: string) =>
    (await readEvents(fixture.database.main, { subjectId: importId, limit: 100 })).map(({ seq, type }) => `${seq} ${type}`);

  it('keeps rejects with their lines over chunk borders, multi-line records included', async () => {
    await fixture.define('lines', { columns: COLUMNS, key: ['sku'] });
    const importId = await fixture.upload(
      { dataset: 'lines', chunkBytes: 10 },
      'sku,quantity\n"a\nb\nc",1\nx,many\n"d\ne",2\ny,-1\nz,3,4\n"w\nv",no\nlast,9\n',
    );
    await fixture.runAll(fixture.engine('worker'));
    expect(await fixture.rejectsOf(importId)).toEqual([
      [5, 'quantity', 'type', 'x,many'],
      [8, 'quantity', 'range', 'y,-1'],
      [9, null, 'column-count', 'z,3,4'],
      [10, 'quantity', 'type', '"w\nv",no'],
    ]);
    expect(await fixture.read(importId)).toMatchObject({ status: 'completed', rows_inserted: 3, rows_rejected: 4 });
    expect(await fixture.rows('SELECT sku, _line::int AS line FROM data_default.lines ORDER BY _line')).toEqual([
      { sku: 'a\nb\nc', line: 2 },
      { sku: 'd\ne', line: 6 },
      { sku: 'last', line: 12 },
    ]);
  });

  it('writes its events without a gap, and removes the file at the end', async () => {
    await fixture.define('events', { columns: COLUMNS, key: ['sku'] });
    const importId = await fixture.upload({ dataset: 'events', chunkBytes: 4 }, file('a,1', 'b,2'));
    const { content_ref: ref } = await fixture.read(importId);
    await fixture.runAll(fixture.engine('worker'));
    expect(await eventsOf(importId)).toEqual([
      '1 import.queued',
      '2 import.started',
      '3 import.chunk',
      '4 import.chunk',
      '5 import.completed',
    ]);
    expect(await readImportHead(fixture.database.main, { importId, workspace: 'default' })).toEqual({
      status: 'completed',
      seqLast: 5,
      ended: true,
    });
    expect(await readImportHead(fixture.database.main, { importId, workspace: 'other' })).toBeUndefined();
    expect(await fixture.storage.size(ref ?? '')).toBeNull();
    expect((await fixture.read(importId)).bytes_done).toBe(file('a,1', 'b,2').length);
  });

  it('completes a file that is only a header', async () => {
    await fixture.define('header_only', { columns: COLUMNS, key: ['sku'] });
    const importId = await fixture.upload({ dataset: 'header_only' }, 'sku,quantity\n');
    await fixture.runAll(fixture.engine('worker'));
    expect(await fixture.read(importId)).toMatchObject({ status: 'completed', rows_inserted: 0, rows_rejected: 0, chunks_total: 0 });
    expect(await eventsOf(importId)).toEqual(['1 import.queued', '2 import.started', '3 import.completed']);
  });

  it('imports NDJSON, keeps unknown keys where asked to, and digits of big numbers', async () => {
    await fixture.define('ndjson', {
      columns: [
        { name: 'id', type: 'bigint' },
        { name: 'amount', type: 'numeric' },
        { name: 'tags', type: 'json' },
      ],
      key: ['id'],
    });
    const importId = await fixture.upload(
      { dataset: 'ndjson', options: { onUnknownColumn: 'keep' } },
      '{"id":9007199254740993,"amount":12345678901234567890.12,"tags":["x",{"y":1}]}\nnonsense\n{"id":2,"colour":"red","size":1.50}\n',
    );
    await fixture.runAll(fixture.engine('worker'));
    expect(await fixture.rejectsOf(importId)).toEqual([[2, null, 'json', 'nonsense']]);
    expect(await fixture.rows('SELECT id::text, amount::text, tags::text, extra::text FROM data_default.ndjson ORDER BY id DESC')).toEqual([
      { id: '9007199254740993', amount: '12345678901234567890.12', tags: '["x", {"y": 1}]', extra: '{}' },
      { id: '2', amount: null, tags: null, extra: '{"size": 1.50, "colour": "red"}' },
    ]);
  });

  it('fails when more rows are rejected than allowed: the rows of that chunk are not loaded, its rejects are listed', async () => {
    await fixture.define('strict', { columns: COLUMNS, key: ['sku'] });
    const importId = await fixture.upload(
      { dataset: 'strict', chunkBytes: 10, options: { maxRejects: 1 } },
      file('a,1', 'b,no', 'c,3', 'a,7', 'd,4', 'e,no', 'f,6'),
    );
    await fixture.runAll(fixture.engine('worker'));
    const failed = await fixture.read(importId);
    expect(failed).toMatchObject({ status: 'failed', error: { code: 'too-many-rejects' }, rows_rejected: 3 });
    expect((await fixture.rejectsOf(importId)).map(([line, , code]) => [line, code])).toEqual([
      [3, 'type'],
      [5, 'duplicate'],
      [7, 'type'],
    ]);
    const loaded = await fixture.rows<{ sku: string }>('SELECT sku FROM data_default.strict ORDER BY sku');
    expect(loaded).toHaveLength(failed.rows_inserted);
    expect(loaded.map(({ sku }) => sku)).not.toContain('d');
    expect(await retryImport(fixture.database, { importId, workspace: 'default' })).toMatchObject({ kind: 'refused', status: 'failed' });
  });

  it('rejects the one row that PostgreSQL refuses and loads all others', async () => {
    await fixture.define('refused', { columns: COLUMNS, key: ['sku'] });
    // Random, because PostgreSQL compresses what it can before it looks at the size of an index entry.
    const tooLong = Array.from({ length: 6_000 }, () => String.fromCharCode(97 + Math.floor(Math.random() * 26))).join('');
    const lines = Array.from({ length: 50 }, (_, index) => `k${index},${index}`);
    const content = file(...lines.slice(0, 20), `${tooLong},1`, ...lines.slice(20), 'k3,9');
    for (const mode of ['insert', 'upsert'] as const) {
      const importId = await fixture.upload({ dataset: 'refused', mode }, content);
      await fixture.runAll(fixture.engine('worker'));
      const done = await fixture.read(importId);
      expect(done).toMatchObject(
        mode === 'insert'
          ? { status: 'completed', rows_inserted: 50, rows_rejected: 2 }
          : { status: 'completed', rows_updated: 1, rows_unchanged: 49, rows_superseded: 1, rows_rejected: 1 },
      );
      const rejects = await fixture.rejectsOf(importId);
      expect(rejects.map(([line, , code]) => [line, code])).toContainEqual([22, 'constraint']);
      expect(rejects.find(([line]) => line === 22)?.[3]).toBe(`${tooLong},1`);
    }
    expect(await fixture.rows("SELECT quantity FROM data_default.refused WHERE sku = 'k3'")).toEqual([{ quantity: 9 }]);
  });

  it('stops at the next check when it is cancelled, and keeps what is committed', async () => {
    await fixture.define('cancelled', { columns: COLUMNS, key: ['sku'] });
    const importId = await fixture.upload({ dataset: 'cancelled', chunkBytes: 4 }, file('a,1', 'b,2', 'c,3'));
    const engine = fixture.engine('worker');
    const job = fixture.jobs.shift();
    if (job !== undefined) await engine.handle(job);
    const outcome = await cancelImport(fixture.database, { importId, workspace: 'default', by: 'test' });
    expect(outcome).toMatchObject({ kind: 'done', import: { status: 'cancelled', rows_inserted: 1 } });
    expect(await fixture.runAll(engine)).toEqual([{ kind: 'finished' }]);
    expect(await fixture.rows('SELECT sku FROM data_default.cancelled')).toEqual([{ sku: 'a' }]);
    expect(await cancelImport(fixture.database, { importId, workspace: 'default', by: 'test' })).toEqual({
      kind: 'refused',
      status: 'cancelled',
    });
    expect((await eventsOf(importId)).at(-1)).toBe('4 import.cancelled');
  });

  it('fails when the stored file is not the one that was uploaded', async () => {
    await fixture.define('changed', { columns: COLUMNS, key: ['sku'] });
    const importId = await fixture.upload({ dataset: 'changed' }, file('a,1', 'b,2'));
    const { content_ref: ref } = await fixture.read(importId);
    await writeFile(join(fixture.folder, ref ?? ''), file('a,1', 'b,3'));
    await fixture.runAll(fixture.engine('worker'));
    expect(await fixture.read(importId)).toMatchObject({ status: 'failed', error: { code: 'source-changed' }, rows_inserted: 0 });
  });

  it('uses up its attempts on a fault of ours, fails clearly, and goes on after a retry with the first chunk that is not done', async () => {
    await fixture.define('retried', { columns: COLUMNS, key: ['sku'] });
    const importId = await fixture.upload({ dataset: 'retried', chunkBytes: 4 }, file('a,1', 'b,2', 'c,3'));
    const engine = fixture.engine('worker');
    const first = fixture.jobs.shift();
    if (first !== undefined) await engine.handle(first);
    await fixture.database.main.query('ALTER TABLE data_default.retried RENAME COLUMN quantity TO hidden');
    const outcomes = await fixture.runAll(engine);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['retry', 'retry', 'retry', 'failed']);
    expect(await fixture.read(importId)).toMatchObject({ status: 'failed', error: { code: 'internal' }, chunks_done: 1, rows_inserted: 1 });
    await fixture.database.main.query('ALTER TABLE data_default.retried RENAME COLUMN hidden TO quantity');
    const retried = await retryImport(fixture.database, { importId, workspace: 'default' });
    expect(retried).toMatchObject({ kind: 'done', import: { status: 'queued', error: null } });
    fixture.jobs.push(...(retried.dispatches ?? []));
    await fixture.runAll(engine);
    expect(await fixture.read(importId)).toMatchObject({ status: 'completed', rows_inserted: 3, rows_rejected: 0, chunks_done: 3 });
    expect(await fixture.rows('SELECT count(*)::int AS count FROM data_default.retried')).toEqual([{ count: 3 }]);
  });

  it('costs no attempt when the worker stops', async () => {
    await fixture.define('drained', { columns: COLUMNS, key: ['sku'] });
    await fixture.upload({ dataset: 'drained' }, file(...Array.from({ length: 50_000 }, (_, index) => `k${index},${index}`)));
    const job = fixture.jobs.shift();
    if (job === undefined) throw new Error('nothing was dispatched');
    const engine = fixture.engine('worker');
    const handled = engine.handle(job);
    while (engine.activeCount() === 0) await new Promise((resolve) => setImmediate(resolve));
    await engine.drain(0);
    expect(await handled).toEqual({ kind: 'later', delayMs: 0 });
    expect(await fixture.rows('SELECT status, attempts, crashes FROM millrace.import_chunks WHERE id = $1', [job.id])).toEqual([
      { status: 'queued', attempts: 0, crashes: 0 },
    ]);
    expect(await fixture.rows('SELECT count(*)::int AS count FROM data_default.drained')).toEqual([{ count: 0 }]);
    fixture.jobs.push(job);
    await fixture.runAll(fixture.engine('next'));
    expect(await fixture.rows('SELECT count(*)::int AS count FROM data_default.drained')).toEqual([{ count: 50_000 }]);
  });

  it("hands the rows of a finished import to flows: an insert's own in the order of the file, of an upsert the whole dataset", async () => {
    await fixture.define('handed', { columns: [...COLUMNS, { name: 'seen', type: 'timestamptz' }], key: ['sku'] });
    const before = await fixture.upload({ dataset: 'handed' }, 'sku,quantity,seen\nold,1,2024-01-01T00:00:00Z\n');
    const importId = await fixture.upload(
      { dataset: 'handed', chunkBytes: 20_000 },
      `sku,quantity\n${Array.from({ length: 12_000 }, (_, index) => `k${12_000 - index},${index}`).join('\n')}\n`,
    );
    await fixture.runAll(fixture.engine('worker'));
    const imported = await openImported(fixture.database, { importId, workspace: 'default' });
    expect(imported).toMatchObject({
      dataset: 'handed',
      rowCount: 12_000,
      columns: [
        { name: 'sku', type: 'text' },
        { name: 'quantity', type: 'integer' },
        { name: 'seen', type: 'timestamptz' },
      ],
    });
    const quantities: (string | null | undefined)[] = [];
    for await (const batch of imported?.batches() ?? []) {
      expect(batch.length).toBeLessThanOrEqual(1_000);
      for (const row of batch) quantities.push(row['quantity']);
    }
    expect(quantities).toEqual(Array.from({ length: 12_000 }, (_, index) => String(index)));
    const upsertId = await fixture.upload({ dataset: 'handed', mode: 'upsert' }, file('k1,5'));
    await fixture.runAll(fixture.engine('worker'));
    const whole = await openImported(fixture.database, { importId: upsertId, workspace: 'default' });
    const skus: (string | null | undefined)[] = [];
    let old: unknown;
    for await (const batch of whole?.batches() ?? [])
      for (const row of batch) {
        skus.push(row['sku']);
        if (row['sku'] === 'old') old = row;
      }
    expect(whole?.rowCount).toBe(12_001);
    expect(new Set(skus).size).toBe(12_001);
    expect(old).toEqual({ sku: 'old', quantity: '1', seen: '2024-01-01T00:00:00.000Z' });
    expect(await openImported(fixture.database, { importId: before, workspace: 'other' })).toBeUndefined();
  });

  it('keeps workspaces apart', async () => {
    await fixture.database.main.query("INSERT INTO millrace.workspaces (name) VALUES ('other')");
    for (const workspace of ['default', 'other']) await fixture.define('apart', { columns: COLUMNS, key: ['sku'] }, workspace);
    await fixture.upload({ dataset: 'apart' }, file('a,1'));
    await fixture.upload({ dataset: 'apart', workspace: 'other' }, file('a,2'));
    await fixture.runAll(fixture.engine('worker'));
    expect(await fixture.rows('SELECT quantity FROM data_default.apart')).toEqual([{ quantity: 1 }]);
    expect(await fixture.rows('SELECT quantity FROM data_other.apart')).toEqual([{ quantity: 2 }]);
  });

  it('leaves nothing in the storage but the files of imports that can still use them', async () => {
    const kept = await fixture.rows<{ content_ref: string }>('SELECT content_ref FROM millrace.imports WHERE content_ref IS NOT NULL');
    expect(await readdir(fixture.folder)).toEqual(expect.arrayContaining(kept.map(({ content_ref: ref }) => ref)));
    const statuses = await fixture.rows<{ status: string }>('SELECT DISTINCT status FROM millrace.imports WHERE content_ref IS NOT NULL');
    expect(statuses.every(({ status }) => status === 'failed')).toBe(true);
  });
});
