// An import's content from first byte to commit: one upload at a time, spool and index, plan against the dataset, hand over to the workers.
import { AppError, newId, type Dispatch, type DatasetColumn } from '@millrace/shared';
import { chunkChecksums, type UploadStorage } from '@millrace/storage';
import {
  acceptContent,
  isTransient,
  readImport,
  readImportDataset,
  refuseContent,
  releaseUploadSlot,
  takeUploadSlot,
  UPLOAD_SLOT_MS,
  type AcceptOutcome,
  type Database,
  type LoggedEvent,
  type ReceivedContent,
  type StoredDataset,
  type StoredImport,
} from '@millrace/store';
import { mapColumns, type ColumnSpec, type CsvDialect } from '@millrace/tabular';
import type { Logger } from '@millrace/process';
import type { Packing } from './decompress.ts';
import { countBytes } from './received-bytes.ts';
import { asUploadError, spoolContent, type SpooledContent, type SpoolLimits } from './spool-content.ts';

export type ReceiverDeps = {
  database: Database;
  storage: UploadStorage;
  /** Rings the doorbell and puts the first chunk into the queue. Never rejects. */
  announce(change: { events: readonly LoggedEvent[]; dispatches: readonly Dispatch[] }): void;
  log: Logger;
  limits: SpoolLimits;
};

export type ContentUpload = {
  importId: string;
  workspace: string;
  /** `none`: recognised by the first bytes. */
  packing: Packing;
  /** The next bytes, null at the end. What it throws ends the upload and passes through. */
  next(): Promise<Buffer | null>;
  /** How many bytes will come, if that is known. */
  declaredBytes?: number;
  /** Ends another upload into this import that may be under way. Default: that one is let finish, and this one is refused. */
  takesOver?: boolean;
};

/** `same`: this very content was there already. */
export type ReceivedAnswer = { kind: 'accepted' | 'same'; sizeBytes: number; sha256: string };

/** @param signal what it aborts with is thrown. @throws AppError for everything the sender must know; other faults of the file become the import's. */
export type ContentReceiver = (upload: ContentUpload, signal: AbortSignal) => Promise<ReceivedAnswer>;

export function createContentReceiver(deps: ReceiverDeps): ContentReceiver {
  return async (upload, signal) => {
    const found = await requireImport(deps, upload);
    if (found.status !== 'awaiting_content') return compareWithKept(deps, { upload, found, signal });
    const slot = { importId: found.id, uploadId: newId() };
    if (!(await takeUploadSlot(deps.database.main, { ...slot, takesOver: upload.takesOver ?? false })))
      throw new AppError('invalid-state', { detail: 'Another upload into this import is under way.' });
    const keeper = keepSlot(deps, slot, signal);
    try {
      const indexing = { format: found.format, csv: dialectOf(found) };
      const { packing } = upload;
      const next = () => upload.next();
      const spooled = await spoolContent({ next, storage: deps.storage, packing, indexing, limits: deps.limits }, keeper.signal);
      return await handOver(deps, { found, spooled, received: { ...slot, sizeBytes: spooled.sizeBytes, sha256: spooled.sha256 } });
    } finally {
      keeper.end();
      await releaseUploadSlot(deps.database.main, slot).catch((error: unknown) => {
        deps.log.debug({ err: error }, 'an upload slot was not given back and will end by itself');
      });
    }
  };
}

async function requireImport(deps: ReceiverDeps, { importId, workspace }: ContentUpload): Promise<StoredImport> {
  const found = await readImport(deps.database.main, { importId, workspace });
  if (found === undefined) throw new AppError('not-found');
  return found;
}

// The slot outlives a short outage of the database; an import that was cancelled ends the upload.
function keepSlot(
  deps: ReceiverDeps,
  slot: { importId: string; uploadId: string },
  request: AbortSignal,
): { signal: AbortSignal; end(): void } {
  const lost = new AbortController();
  const timer = setInterval(() => {
    takeUploadSlot(deps.database.main, slot).then(
      (held) => {
        if (!held) lost.abort(new AppError('invalid-state', { detail: 'The import does not await content any more.' }));
      },
      (error: unknown) => {
        deps.log.debug({ err: error }, 'an upload slot was not renewed');
      },
    );
  }, UPLOAD_SLOT_MS / 4);
  return {
    signal: AbortSignal.any([lost.signal, request]),
    end: () => {
      clearInterval(timer);
    },
  };
}

function dialectOf(found: StoredImport): Partial<CsvDialect> {
  const { encoding: _encoding, ...dialect } = found.options.csv ?? {};
  // Fields that were not given are absent, because this comes from JSON.
  return dialect as Partial<CsvDialect>;
}

/** Content that comes a second time must be the same: it is read to be compared, up to the size that is known. */
async function compareWithKept(
  deps: ReceiverDeps,
  { upload, found, signal }: { upload: ContentUpload; found: StoredImport; signal: AbortSignal },
): Promise<ReceivedAnswer> {
  const refused = new AppError('invalid-state', { detail: `The import is ${found.status} and has its content.` });
  const { size_bytes: sizeBytes, sha256 } = found;
  if (sizeBytes === null || sha256 === null || (upload.declaredBytes ?? sizeBytes) !== sizeBytes) throw refused;
  const received = countBytes(() => upload.next(), deps.limits.uploadBytesMax, signal);
  while ((await received.next()) !== null && received.sizeBytes() <= sizeBytes);
  if (received.sizeBytes() !== sizeBytes || received.sha256() !== sha256) throw refused;
  return { kind: 'same', sizeBytes, sha256 };
}

type HandOver = { found: StoredImport; spooled: SpooledContent; received: ReceivedContent };

async function handOver(deps: ReceiverDeps, { found, spooled, received }: HandOver): Promise<ReceivedAnswer> {
  const outcome = spooled.kind === 'fault' ? await refuse(deps, received, spooled.fault) : await accept(deps, { found, spooled, received });
  if (outcome.kind === 'dataset-gone') throw new AppError('invalid-state', { detail: 'The dataset of this import was deleted.' });
  if (outcome.kind === 'lost') throw new AppError('invalid-state', { detail: 'The import does not await content any more.' });
  deps.announce(outcome);
  return { kind: 'accepted', sizeBytes: received.sizeBytes, sha256: received.sha256 };
}

async function refuse(
  deps: ReceiverDeps,
  received: ReceivedContent,
  fault: Extract<SpooledContent, { kind: 'fault' }>['fault'],
): Promise<AcceptOutcome> {
  const told = asUploadError(fault);
  if (told !== null) throw told;
  const { code, message, line } = fault;
  return refuseContent(deps.database, received, { code, message, ...(line === undefined ? {} : { line }) });
}

async function accept(
  deps: ReceiverDeps,
  { found, spooled, received }: HandOver & { spooled: Extract<SpooledContent, { kind: 'indexed' }> },
): Promise<AcceptOutcome> {
  const { writer, index } = spooled;
  try {
    const dataset = await readImportDataset(deps.database.main, found);
    if (dataset === undefined) return await withoutFile(writer, { kind: 'dataset-gone' });
    const columns = columnsOf(dataset);
    const { mapping, onUnknownColumn } = found.options;
    const planned = mapColumns({
      ...index,
      columns,
      onUnknownColumn,
      ...(mapping === undefined ? {} : { mapping }),
      isPositional: index.format === 'csv' && !index.dialect.header,
    });
    if (!planned.ok) return await withoutFile(writer, await refuse(deps, received, planned.fault));
    await writer.commit();
    const outcome = await acceptContent(deps.database, received, {
      contentRef: writer.ref,
      format: index.format,
      header: index.headerColumns,
      plan: {
        columns: columns as DatasetColumn[],
        key: dataset.key,
        keepsExtra: onUnknownColumn === 'keep',
        columnPlan: planned.plan,
        dialect: index.dialect,
      },
      bytesTotal: index.sizeBytes,
      chunks: index.chunks.map((chunk) => ({ ...chunk, checksums: chunkChecksums(spooled.checksums, chunk) })),
    });
    return outcome.kind === 'accepted' && index.chunks.length > 0 ? outcome : await withoutFile(writer, outcome);
  } catch (error) {
    // A connection lost during COMMIT leaves open whether the import has its content: then the file stays, and the sweep decides.
    if (!isTransient(error)) await writer.abort();
    throw error;
  }
}

async function withoutFile(writer: { abort(): Promise<void> }, outcome: AcceptOutcome): Promise<AcceptOutcome> {
  await writer.abort();
  return outcome;
}

/** The columns as the parser needs them. A key without a value identifies nothing, so its columns are required whatever the definition says. */
function columnsOf(dataset: StoredDataset): ColumnSpec[] {
  // Rules that were not given are absent, because this comes from JSON.
  const columns = dataset.columns as ColumnSpec[];
  return columns.map((column) => (dataset.key.includes(column.name) ? { ...column, required: true } : column));
}
