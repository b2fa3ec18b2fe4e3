// Imports get on although their jobs are lost, their workers die, or Redis forgets everything: with real queues.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createLogger } from '@millrace/process';
import { createJobDispatcher, type JobDispatcher } from '@millrace/queue';
import type { JobRef } from '@millrace/shared';
import { claimChunk } from '@millrace/store';
import { eventually } from '@millrace/testing';
import { createImportEngine, type ImportEngine } from './create-import-engine.ts';
import { createImportReconciler, type ImportReconciler } from './import-reconciler.ts';
import { createImportFixture, type ImportFixture } from './test-support/import-fixture.ts';

const FILE = `sku,quantity\n${Array.from({ length: 30 }, (_, index) => `k${index},${index}`).join('\n')}\n`;
const CHUNKED = { dataset: 'items', chunkBytes: 50 };

describe('import reconciler', () => {
  let fixture: ImportFixture;
  let dispatcher: JobDispatcher;
  let engine: ImportEngine;
  let reconciler: ImportReconciler;
  const log = createLogger({ name: 'test', level: 'silent' });
  const queue = { url: process.env['REDIS_URL'] ?? '', name: 'test', log, prefix: `{test-${randomBytes(4).toString('hex')}}` };

  beforeAll(async () => {
    fixture = await createImportFixture();
    await fixture.define('items', {
      columns: [
        { name: 'sku', type: 'text' },
        { name: 'quantity', type: 'integer' },
      ],
      key: ['sku'],
    });
    dispatcher = createJobDispatcher(queue);
    const { database, storage } = fixture;
    const updates = { publishEvents: () => Promise.resolve() };
    engine = createImportEngine({ database, storage, dispatcher, updates, log, workerId: 'worker' });
    reconciler = createImportReconciler({ database, storage, dispatcher, updates, log });
    await eventually(() => expect(dispatcher.isReady()).toBe(true));
  });
  afterAll(async () => {
    for (const each of dispatcher.queues()) await each.obliterate({ force: true });
    await dispatcher.close();
    await fixture.close();
  });

  const overdue = (importId: string) =>
    fixture.database.main.query(
      "UPDATE millrace.import_chunks SET due_at = now() - interval '1 second' WHERE import_id = $1 AND due_at IS NOT NULL",
      [importId],
    );
  // Works off what is in the queue, the way a consumer does.
  const workOff = async () => {
    const jobs = dispatcher.queues().find(({ name }) => name === 'data-import');
    for (
      let waiting = await jobs?.getJobs(['waiting', 'prioritized']);
      waiting !== undefined && waiting.length > 0;
      waiting = await jobs?.getJobs(['waiting', 'prioritized'])
    ) {
      for (const job of waiting) {
        await engine.handle(job.data as JobRef);
        await job.remove();
      }
    }
  };
  const completed = async (importId: string) => {
    await workOff();
    expect(await fixture.read(importId)).toMatchObject({ status: 'completed', rows_inserted: 30 });
  };
  const clear = () => fixture.database.main.query('DELETE FROM data_default.items');

  it('passes the chunks of an import through the queue one after the other', async () => {
    const importId = await fixture.upload(CHUNKED, FILE);
    await dispatcher.dispatch('data-import', fixture.jobs.splice(0));
    await completed(importId);
    const order = await fixture.rows<{ ordinal: number }>(
      'SELECT ordinal FROM millrace.import_chunks WHERE import_id = $1 ORDER BY finished_at',
      [importId],
    );
    expect(order.map(({ ordinal }) => ordinal)).toEqual(order.map((_, index) => index));
  });

  it('dispatches again what was never sent', async () => {
    await clear();
    const importId = await fixture.upload(CHUNKED, FILE);
    fixture.jobs.length = 0;
    await overdue(importId);
    expect(await reconciler.runOnce()).toBe('idle');
    await completed(importId);
  });

  it('takes over from a worker that died, within one pass after its lease', async () => {
    await clear();
    const importId = await fixture.upload(CHUNKED, FILE);
    const [job] = fixture.jobs.splice(0);
    if (job === undefined) throw new Error('nothing was dispatched');
    await claimChunk(fixture.database.hot, job, { worker: 'dead', leaseMs: 10_000 });
    await reconciler.runOnce();
    expect((await fixture.read(importId)).chunks_done).toBe(0);
    await overdue(importId);
    await reconciler.runOnce();
    await completed(importId);
    expect(await fixture.rows('SELECT crashes FROM millrace.import_chunks WHERE id = $1', [job.id])).toEqual([{ crashes: 1 }]);
  });

  it('leaves jobs alone that are where they should be', async () => {
    await clear();
    const importId = await fixture.upload(CHUNKED, FILE);
    const [job] = fixture.jobs.splice(0);
    if (job === undefined) throw new Error('nothing was dispatched');
    await dispatcher.dispatch('data-import', [job]);
    await overdue(importId);
    await reconciler.runOnce();
    await reconciler.runOnce();
    expect(await fixture.rows('SELECT generation, due_at > now() AS waits FROM millrace.import_chunks WHERE id = $1', [job.id])).toEqual([
      { generation: job.generation, waits: true },
    ]);
    await completed(importId);
  });
});
