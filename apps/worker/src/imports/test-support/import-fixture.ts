// What tests of the import path need: a database of their own, a storage folder, uploads without HTTP, and deliveries in the order of dispatch.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@millrace/process';
import type { DeliveryOutcome } from '@millrace/queue';
import { newId, type DatasetBody, type Dispatch } from '@millrace/shared';
import { blockChecksums, chunkChecksums, createLocalStorage, type UploadStorage } from '@millrace/storage';
import {
  acceptContent,
  createImport,
  putDataset,
  readDataset,
  readImport,
  readRejects,
  refuseContent,
  takeUploadSlot,
  type Database,
  type ImportOptions,
  type LoggedEvent,
  type StoredImport,
} from '@millrace/store';
import { createChunkIndexer, mapColumns, type ColumnSpec } from '@millrace/tabular';
import { createTestDatabase } from '@millrace/testing';
import { createImportEngine, type ImportEngine } from '../create-import-engine.ts';

export type TestImport = {
  dataset: string;
  mode?: StoredImport['mode'];
  format?: StoredImport['format'];
  options?: Partial<ImportOptions>;
  workspace?: string;
  chunkBytes?: number;
};

export type ImportFixture = {
  readonly database: Database;
  readonly storage: UploadStorage;
  readonly folder: string;
  /** Jobs that were dispatched and not taken yet, oldest first. */
  readonly jobs: Dispatch[];
  engine(workerId: string): ImportEngine;
  define(name: string, definition: Partial<DatasetBody> & Pick<DatasetBody, 'columns'>, workspace?: string): Promise<void>;
  /** Makes an import and gives it its content; answers its id. The first chunk is among the jobs then. */
  upload(request: TestImport, content: string | Buffer): Promise<string>;
  /** Delivers jobs until there are none. */
  runAll(engine: ImportEngine): Promise<DeliveryOutcome[]>;
  read(importId: string, workspace?: string): Promise<StoredImport>;
  rejectsOf(importId: string): Promise<[line: number, column: string | null, code: string, raw: string][]>;
  rows<Row>(sql: string, values?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
};

export async function createImportFixture(): Promise<ImportFixture> {
  const { database, drop } = await createTestDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'millrace-import-'));
  const storage = createLocalStorage({ folder });
  const jobs: Dispatch[] = [];
  const log = createLogger({ name: 'test', level: 'silent' });
  const dispatcher = {
    dispatch: (_queue: string, dispatches: readonly Dispatch[]) => {
      jobs.push(...dispatches);
      return Promise.resolve();
    },
  };
  const updates = { publishEvents: () => Promise.resolve() };
  return {
    database,
    storage,
    folder,
    jobs,
    engine: (workerId) => createImportEngine({ database, storage, dispatcher, updates, log, workerId }),
    define: async (name, definition, workspace = 'default') => {
      await putDataset(database, { workspace, name, createdBy: 'test', definition: { key: [], ...definition } });
    },
    upload: async (request, content) => {
      const { importId, dispatches } = await upload({ database, storage }, request, Buffer.from(content));
      jobs.push(...dispatches);
      return importId;
    },
    runAll: async (engine) => {
      const outcomes: DeliveryOutcome[] = [];
      for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
        const outcome = await engine.handle(job);
        outcomes.push(outcome);
        if (outcome.kind === 'later' || outcome.kind === 'retry') jobs.push(job);
      }
      return outcomes;
    },
    read: async (importId, workspace = 'default') => {
      const found = await readImport(database.main, { importId, workspace });
      if (found === undefined) throw new Error('there is no such import');
      return found;
    },
    rejectsOf: async (importId) =>
      (await readRejects(database.main, { importId, after: 0, limit: 100_000 })).map((reject) => [
        reject.line,
        reject.column,
        reject.code,
        reject.raw,
      ]),
    rows: async <Row>(sql: string, values: unknown[] = []) => (await database.main.query(sql, values)).rows as Row[],
    close: async () => {
      await drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

type Parts = Pick<ImportFixture, 'database' | 'storage'>;

async function upload(
  { database, storage }: Parts,
  request: TestImport,
  content: Buffer,
): Promise<{ importId: string; events: LoggedEvent[]; dispatches: Dispatch[] }> {
  const { dataset: name, mode = 'insert', format = 'auto', workspace = 'default' } = request;
  const options: ImportOptions = { onUnknownColumn: 'fail', ...request.options };
  const created = await createImport(database, {
    workspace,
    createdBy: 'test',
    dataset: name,
    mode,
    format,
    options,
    idempotency: null,
    respond: () => ({ status: 201, body: {} }),
  });
  if (created.kind !== 'created') throw new Error('the import was not created');
  const slot = { importId: created.importId, uploadId: newId() };
  await takeUploadSlot(database.main, slot);
  const received = { ...slot, sizeBytes: content.length, sha256: 'unused' };
  const indexed = index(request, content);
  const dataset = await readDataset(database.main, { workspace, name });
  if (dataset === undefined) throw new Error('there is no such dataset');
  const columns = dataset.columns.map((column) => (dataset.key.includes(column.name) ? { ...column, required: true } : column));
  const planned =
    indexed.kind === 'fault'
      ? { ok: false as const, fault: indexed }
      : mapColumns({ ...indexed, columns: columns as ColumnSpec[], ...options, mapping: options.mapping ?? {} });
  if (!planned.ok || indexed.kind === 'fault') {
    const refused = await refuseContent(database, received, planned.ok ? { code: 'none', message: '' } : planned.fault);
    if (refused.kind !== 'accepted') throw new Error(`the content was not taken: ${refused.kind}`);
    return { importId: created.importId, ...refused };
  }
  const writer = await storage.create({ bytesMax: Number.MAX_SAFE_INTEGER });
  await writer.write(content);
  await writer.commit();
  const blocks = blockChecksums();
  blocks.push(content);
  const checksums = blocks.end();
  const outcome = await acceptContent(database, received, {
    contentRef: writer.ref,
    format: indexed.format,
    header: indexed.headerColumns,
    plan: { columns, key: dataset.key, keepsExtra: options.onUnknownColumn === 'keep', columnPlan: planned.plan, dialect: indexed.dialect },
    bytesTotal: indexed.sizeBytes,
    chunks: indexed.chunks.map((chunk) => ({ ...chunk, checksums: chunkChecksums(checksums, chunk) })),
  });
  if (outcome.kind !== 'accepted') throw new Error(`the content was not accepted: ${outcome.kind}`);
  return { importId: created.importId, events: outcome.events, dispatches: outcome.dispatches };
}

function index({ format = 'auto', chunkBytes, options }: TestImport, content: Buffer) {
  const { encoding: _encoding, ...csv } = options?.csv ?? {};
  const indexer = createChunkIndexer({ format, csv: csv as object, ...(chunkBytes === undefined ? {} : { chunkBytes }) });
  indexer.push(content);
  return indexer.end();
}
