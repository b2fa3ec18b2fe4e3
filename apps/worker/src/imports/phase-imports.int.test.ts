// ctx.import through a real engine: the import is made, loaded by chunks beside it, and found again by every later attempt.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createLogger } from '@millrace/process';
import type { ImportContent, PhaseContext } from '@millrace/sdk';
import type { Dispatch } from '@millrace/shared';
import { createLocalStorage } from '@millrace/storage';
import { cancelFlow, cancelImport, listImports, putDataset } from '@millrace/store';
import { eventually } from '@millrace/testing';
import type { FlowEngine } from '../engine/create-flow-engine.ts';
import { createEngineFixture, gate, type EngineFixture } from '../engine/test-support/engine-fixture.ts';
import { createImportEngine, type ImportEngine } from './create-import-engine.ts';
import { createPhaseImports } from './phase-imports.ts';

const QUICK = { attempts: 3, backoff: { type: 'fixed', delay: 10 } } as const;
const FILE = 'sku,quantity\na,1\nb,2\nc,none\n';
const LIMITS = { uploadBytesMax: 4_000_000, unpackedBytesMax: 40_000_000, recordBytesMax: 100_000 };
const log = createLogger({ name: 'test', level: 'silent' });
let test: EngineFixture;
let flowEngine: FlowEngine;
let folder: string;
/** False: chunks stay in the queue. */
let isLoading = true;
const held: Dispatch[] = [];

beforeAll(async () => {
  test = await createEngineFixture();
  folder = await mkdtemp(join(tmpdir(), 'millrace-phase-import-'));
  const storage = createLocalStorage({ folder });
  const { database, updates } = test;
  const load = async (jobs: readonly Dispatch[]) => {
    for (const job of jobs) await engine.handle(job);
  };
  const dispatcher = {
    dispatch: async (_queue: string, jobs: readonly Dispatch[]) => {
      if (isLoading) await load(jobs);
      else held.push(...jobs);
    },
  };
  const engine: ImportEngine = createImportEngine({ database, storage, dispatcher, updates, log, workerId: 'test' });
  flowEngine = await test.engine({ imports: createPhaseImports({ database, storage, dispatcher, updates, limits: LIMITS, log }) });
  const columns = [
    { name: 'sku', type: 'text' as const },
    { name: 'quantity', type: 'integer' as const },
  ];
  for (const [name, key] of [
    ['items', ['sku']],
    ['plain', []],
    ['other', []],
  ] as const)
    await putDataset(database, { workspace: 'default', name, createdBy: 'test', definition: { columns, key: [...key] } });
});

afterAll(async () => {
  await test.close();
  await rm(folder, { recursive: true, force: true });
});

async function run(handler: (ctx: PhaseContext) => unknown) {
  const flowId = await test.start(test.define({ only: { retry: QUICK, run: handler } }));
  const {
    phases: [phase],
  } = await test.ended(flowId);
  return { phase };
}

const importsInto = (dataset: string) => listImports(test.database.main, { workspace: 'default', dataset, limit: 50 });

async function rowsOf(batches: AsyncIterable<readonly Record<string, string | null>[]>) {
  const rows: unknown[] = [];
  for await (const batch of batches) rows.push(...batch);
  return rows;
}

async function* pieces(bytes: Uint8Array, size: number) {
  for (let from = 0; from < bytes.length; from += size) {
    await Promise.resolve();
    yield bytes.subarray(from, from + size);
  }
}

describe('ctx.import', () => {
  it('loads a file and answers its rows and counts', async () => {
    const { phase } = await run(async (ctx) => {
      const { batches, columns: _columns, ...outcome } = await ctx.import('items', { content: FILE, mode: 'upsert' });
      return { ...outcome, rows: await rowsOf(batches()) };
    });
    const [made] = await importsInto('items');
    expect(phase?.output).toEqual({
      importId: made?.id,
      dataset: 'items',
      rowCount: 2,
      rowsInserted: 2,
      rowsUpdated: 0,
      rowsUnchanged: 0,
      rowsSuperseded: 0,
      rowsRejected: 1,
      rows: [
        { sku: 'a', quantity: '1' },
        { sku: 'b', quantity: '2' },
      ],
    });
    const owner = await test.database.main.query('SELECT created_by FROM millrace.imports WHERE id = $1', [made?.id]);
    expect(owner.rows).toEqual([{ created_by: 'test' }]);
  });

  const bytes = Buffer.from(FILE);
  it.each<[string, () => ImportContent['content']]>([
    ['bytes', () => new Uint8Array(bytes)],
    ['a stream of small pieces', () => pieces(bytes, 3)],
    ['a packed stream', () => pieces(gzipSync(bytes), 7)],
  ])('takes %s', async (_, content) => {
    const { phase } = await run(async (ctx) => (await ctx.import('plain', { content: content() })).rowsInserted);
    expect([phase?.status, phase?.output]).toEqual(['completed', 2]);
  });

  it('is the same import for every attempt, and another for another key', async () => {
    const before = (await importsInto('other')).length;
    const { phase } = await run(async (ctx) => {
      const first = await ctx.import('other', { content: FILE });
      const second = await ctx.import('other', { content: FILE }, { key: 'second' });
      if (ctx.attempt < 3) throw new Error('again');
      return [first.importId, second.importId];
    });
    const made = await importsInto('other');
    expect(made).toHaveLength(before + 2);
    expect(phase?.output).toEqual(made.map(({ id }) => id).toReversed());
  });

  it('is handed over anew by the attempt after one that ended while it sent', async () => {
    const sending = gate();
    async function* hanging() {
      yield Buffer.from(FILE);
      sending.resolve();
      await new Promise(() => undefined);
    }
    let cut = false;
    const { phase } = await run(async (ctx) => {
      if (!cut) {
        cut = true;
        void ctx.import('plain', { content: hanging() }, { key: 'cut' }).catch(() => undefined);
        await sending.promise;
        throw new Error('died');
      }
      return (await ctx.import('plain', { content: FILE }, { key: 'cut' })).rowsInserted;
    });
    expect([phase?.output, phase?.attempts]).toEqual([2, 2]);
    await eventually(async () => {
      expect(await readdir(folder)).toEqual([]);
    });
  });

  it('waits for an import that somebody else has made', async () => {
    const made = gate<string>();
    isLoading = false;
    const first = run(async (ctx) => {
      void ctx.import('plain', { content: FILE }, { key: 'foreign' }).catch(() => undefined);
      await eventually(() => {
        expect(held).toHaveLength(1);
      });
      const [newest] = await importsInto('plain');
      made.resolve(newest?.id ?? '');
    });
    const waiter = run(async (ctx) => (await ctx.import('plain', { importId: await made.promise })).rowsInserted);
    await first;
    isLoading = true;
    const importEngine = createImportEngine({
      database: test.database,
      storage: createLocalStorage({ folder }),
      dispatcher: { dispatch: () => Promise.resolve() },
      updates: test.updates,
      log,
      workerId: 'later',
    });
    for (const job of held.splice(0)) await importEngine.handle(job);
    expect((await waiter).phase?.output).toBe(2);
  });

  it('that is cancelled ends the phase, and its wait ends with the signal', async () => {
    isLoading = false;
    const cancelled = run((ctx) => ctx.import('plain', { content: FILE }));
    await eventually(async () => {
      const [newest] = await importsInto('plain');
      expect(newest?.status).toBe('queued');
      await cancelImport(test.database, { importId: newest?.id ?? '', workspace: 'default', by: 'test' });
    });
    expect((await cancelled).phase).toMatchObject({ status: 'failed', attempts: 1, error: { code: 'import-cancelled' } });
    const flowId = await test.start(
      test.define({
        only: {
          retry: { attempts: 1 },
          timeout: { soft: '300ms', hard: '5s' },
          run: (ctx: PhaseContext) => ctx.import('plain', { content: FILE }),
        },
      }),
    );
    expect((await test.ended(flowId)).phases[0]?.error).toMatchObject({ code: 'timeout' });
    isLoading = true;
    held.length = 0;
  });

  it('that failed for a passing reason goes on with the next attempt', async () => {
    isLoading = false;
    const [before] = await importsInto('plain');
    const outcome = run(async (ctx) => {
      if (ctx.attempt === 2) isLoading = true;
      return (await ctx.import('plain', { content: FILE })).rowsInserted;
    });
    await eventually(async () => {
      const [newest] = await importsInto('plain');
      expect(newest?.id).not.toBe(before?.id);
      const failed = await test.database.main.query(
        `WITH hit AS (UPDATE millrace.imports SET status = 'failed', error = '{"code":"internal","message":"bad luck"}' WHERE status = 'queued' AND id = $1 RETURNING id)
         UPDATE millrace.import_chunks c SET status = 'pending', dispatched = false, due_at = NULL FROM hit WHERE c.import_id = hit.id`,
        [newest?.id],
      );
      expect(failed.rowCount).toBe(1);
    });
    expect((await outcome).phase).toMatchObject({ status: 'completed', attempts: 2, output: 2 });
    held.length = 0;
  });

  it('is cancelled with its flow', async () => {
    isLoading = false;
    const started = gate();
    const flowId = await test.start(
      test.define({
        only: {
          retry: { attempts: 1 },
          run: (ctx: PhaseContext) => {
            started.resolve();
            return ctx.import('plain', { content: FILE });
          },
        },
      }),
    );
    await started.promise;
    await eventually(async () => {
      expect((await importsInto('plain'))[0]?.status).toBe('queued');
    });
    await cancelFlow(test.database, { flowId, workspace: 'default', by: 'test' });
    flowEngine.running.stopFlow(flowId, 'cancelled');
    await eventually(async () => {
      expect((await importsInto('plain'))[0]?.status).toBe('cancelled');
    });
    isLoading = true;
    held.length = 0;
  });

  it.each<[string, (ctx: PhaseContext) => unknown, string, RegExp]>([
    ['a dataset that is not there', (ctx) => ctx.import('none', { content: FILE }), 'PermanentError', /no dataset "none"/],
    [
      'an upsert without a key',
      (ctx) => ctx.import('plain', { content: FILE, mode: 'upsert' }),
      'validation',
      /needs a dataset with a key/,
    ],
    ['an unknown option', (ctx) => ctx.import('plain', { content: FILE, colour: 1 } as never), 'PermanentError', /colour/],
    ['an empty file', (ctx) => ctx.import('plain', { content: '' }), 'empty-file', /empty/i],
    ['a file that is too large', (ctx) => ctx.import('plain', { content: 'x'.repeat(4_000_001) }), 'payload-too-large', /4000000 bytes/],
    ['a file without the columns', (ctx) => ctx.import('plain', { content: 'a,b\n1,2\n' }), 'header-mismatch', /failed: /],
    ['too many rejects', (ctx) => ctx.import('plain', { content: FILE, maxRejects: 0 }), 'too-many-rejects', /failed: /],
    ['an import that is not there', (ctx) => ctx.import('plain', { importId: ctx.flowId }), 'PermanentError', /no import/],
    ['an empty key', (ctx) => ctx.import('plain', { content: FILE }, { key: '' }), 'PermanentError', /1 to 200/],
  ])('fails the phase at once for %s', async (_, handler, code, message) => {
    const { phase } = await run(handler);
    expect(phase).toMatchObject({ status: 'failed', attempts: 1, error: { code, message: expect.stringMatching(message) } });
  });

  it("passes on what the handler's own stream throws, and leaves no file behind", async () => {
    async function* broken() {
      yield await Promise.resolve(Buffer.from('sku,'));
      throw new Error('the stream broke');
    }
    const { phase } = await run((ctx) => ctx.import('plain', { content: broken() }));
    expect(phase).toMatchObject({ status: 'failed', attempts: 3, error: { message: 'the stream broke' } });
    expect((await readdir(folder)).filter((name) => name.endsWith('.part'))).toEqual([]);
  });
});
