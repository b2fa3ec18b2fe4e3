// Rows of a chunk get into the dataset once, whoever runs it how often and whatever dies in between.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { claimChunk, loadChunk, reclaimChunk, releaseChunk } from '@millrace/store';
import { openChunk } from '@millrace/storage';
import { eventually } from '@millrace/testing';
import { createChunkSource } from './chunk-source.ts';
import { createImportFixture, type ImportFixture } from './test-support/import-fixture.ts';

const COLUMNS = [
  { name: 'sku', type: 'text' as const },
  { name: 'quantity', type: 'integer' as const },
];
const FILE = 'sku,quantity\na,1\nb,2\nc,3\n';
const NEVER = new AbortController().signal;

describe('exactly once', () => {
  let fixture: ImportFixture;
  beforeAll(async () => {
    fixture = await createImportFixture();
  });
  afterAll(async () => {
    await fixture.close();
  });

  const prepare = async (name: string) => {
    await fixture.define(name, { columns: COLUMNS, key: ['sku'] });
    const importId = await fixture.upload({ dataset: name }, FILE);
    const job = fixture.jobs.shift();
    if (job === undefined) throw new Error('nothing was dispatched');
    return { importId, job };
  };
  const rowsOf = (name: string) =>
    fixture.rows<{ sku: string; quantity: number }>(`SELECT sku, quantity FROM data_default.${name} ORDER BY sku`);
  const expire = (id: string) =>
    fixture.database.main.query("UPDATE millrace.import_chunks SET due_at = now() - interval '1 second' WHERE id = $1", [id]);
  const claimAs = async (worker: string, job: { id: string; generation: number }) => {
    const claim = await claimChunk(fixture.database.hot, job, { worker, leaseMs: 10_000 });
    if (claim.kind !== 'claimed') throw new Error(`the chunk was not claimed: ${claim.kind}`);
    return claim.chunk;
  };
  const bytesOf = async (chunk: Awaited<ReturnType<typeof claimAs>>) => {
    const bytes = await openChunk(fixture.storage, {
      ...chunk,
      ref: chunk.contentRef,
      checksums: Buffer.from(chunk.checksums, 'hex'),
      fileBytes: chunk.bytesTotal,
    });
    if (bytes === null) throw new Error('the file has changed');
    return bytes;
  };
  const loadAs = (worker: string, chunk: Awaited<ReturnType<typeof claimAs>>, bytes: Buffer) =>
    loadChunk(fixture.database, { chunk, worker, source: createChunkSource(chunk, bytes), signal: NEVER });

  it('lets one of two workers that get the same delivery load the chunk', async () => {
    const { importId, job } = await prepare('twice');
    const outcomes = await Promise.all([fixture.engine('one').handle(job), fixture.engine('two').handle(job)]);
    expect(outcomes.filter((outcome) => outcome.kind === 'finished').length).toBeGreaterThan(0);
    expect(await rowsOf('twice')).toHaveLength(3);
    expect(await fixture.read(importId)).toMatchObject({ status: 'completed', rows_inserted: 3, rows_rejected: 0, chunks_done: 1 });
  });

  it('refuses what a worker commits after its lease went to another', async () => {
    const { importId, job } = await prepare('zombie');
    const stopped = await claimAs('stopped', job);
    const bytes = await bytesOf(stopped);
    await expire(job.id);
    const reclaimed = await reclaimChunk(fixture.database, stopped);
    const [next] = reclaimed?.dispatches ?? [];
    if (next === undefined) throw new Error('the chunk was not dispatched again');
    expect(next.generation).toBe(job.generation + 1);
    expect(await fixture.engine('other').handle(next)).toEqual({ kind: 'finished' });
    const before = await rowsOf('zombie');
    expect(await loadAs('stopped', stopped, bytes)).toEqual({ kind: 'lease-lost' });
    expect(await rowsOf('zombie')).toEqual(before);
    expect(await fixture.read(importId)).toMatchObject({ status: 'completed', rows_inserted: 3, rows_rejected: 0 });
    expect(await fixture.rejectsOf(importId)).toEqual([]);
  });

  it('refuses a zombie also while the new owner has not committed yet, and it cannot give the chunk back', async () => {
    const { job } = await prepare('overlap');
    const stopped = await claimAs('stopped', job);
    await expire(job.id);
    const reclaimed = await reclaimChunk(fixture.database, stopped);
    const chunk = await claimAs('other', reclaimed?.dispatches[0] ?? job);
    const bytes = await bytesOf(chunk);
    expect(chunk.fence).toBeGreaterThan(stopped.fence);
    expect(await loadAs('stopped', stopped, bytes)).toEqual({ kind: 'lease-lost' });
    expect(await releaseChunk(fixture.database.main, { ...stopped, worker: 'stopped' }, { outcome: 'interrupted', delayMs: 0 })).toBe(
      false,
    );
    expect(await rowsOf('overlap')).toEqual([]);
    expect(await loadAs('other', chunk, bytes)).toMatchObject({ kind: 'committed', ended: true });
    expect(await rowsOf('overlap')).toHaveLength(3);
  });

  it('ends the session of a stopped worker that still holds rows', async () => {
    const { job } = await prepare('holding');
    const stopped = await claimAs('stopped', job);
    const client = await fixture.database.long.connect();
    const ended = new Promise((resolve) => {
      client.on('error', resolve);
    });
    await client.query('BEGIN');
    await client.query("SELECT set_config('application_name', $1, true)", [`millrace ${stopped.id}/${stopped.fence}`]);
    await client.query(`INSERT INTO data_default.holding (sku, _import_id, _line) VALUES ('a', $1, 2)`, [stopped.importId]);
    await expire(job.id);
    const reclaimed = await reclaimChunk(fixture.database, stopped);
    await ended;
    client.release(true);
    expect(await fixture.engine('other').handle(reclaimed?.dispatches[0] ?? job)).toEqual({ kind: 'finished' });
    expect(await rowsOf('holding')).toHaveLength(3);
  });

  it('goes on after the server ended the connection in the middle of a chunk, at no cost of attempts', async () => {
    await fixture.define('cut', { columns: COLUMNS, key: ['sku'] });
    const lines = Array.from({ length: 200_000 }, (_, index) => `k${index},${index}`);
    const importId = await fixture.upload({ dataset: 'cut' }, `sku,quantity\n${lines.join('\n')}\n`);
    const [job] = fixture.jobs.splice(0);
    if (job === undefined) throw new Error('nothing was dispatched');
    const engine = fixture.engine('worker');
    const handled = engine.handle(job);
    await eventually(async () => {
      const ended = await fixture.rows('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', [
        `millrace ${job.id}/1`,
      ]);
      expect(ended).toHaveLength(1);
    });
    expect(await handled).toMatchObject({ kind: 'later' });
    expect(await fixture.rows('SELECT attempts, interruptions FROM millrace.import_chunks WHERE id = $1', [job.id])).toEqual([
      { attempts: 0, interruptions: 1 },
    ]);
    fixture.jobs.push(job);
    await fixture.runAll(engine);
    expect(await fixture.read(importId)).toMatchObject({ status: 'completed', rows_inserted: 200_000, rows_rejected: 0 });
    expect(await rowsOf('cut')).toHaveLength(200_000);
  });

  it('does not take a chunk from a worker whose lease is alive', async () => {
    const { job } = await prepare('alive');
    const chunk = await claimAs('busy', job);
    expect(await reclaimChunk(fixture.database, chunk)).toBeNull();
    expect(await fixture.engine('other').handle(job)).toMatchObject({ kind: 'later' });
    expect(await loadAs('busy', chunk, await bytesOf(chunk))).toMatchObject({ kind: 'committed' });
  });

  it('fails an import under which a process dies again and again', async () => {
    const { importId, job } = await prepare('deadly');
    let next: { id: string; generation: number } | undefined = job;
    for (let crash = 0; crash < 20 && next !== undefined; crash += 1) {
      const chunk = await claimAs(`worker ${crash}`, next);
      await expire(job.id);
      next = (await reclaimChunk(fixture.database, chunk))?.dispatches[0];
    }
    expect(await fixture.read(importId)).toMatchObject({ status: 'failed', error: { code: 'internal' } });
  });
});
