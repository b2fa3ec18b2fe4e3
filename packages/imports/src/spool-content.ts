// Takes an upload in one pass: counts and hashes what arrives, unpacks it, stores it, and indexes it into chunks, in constant memory.
// What the content is for is left to receive-content.ts.
import { AppError } from '@millrace/shared';
import { blockChecksums, type StorageWriter, type UploadStorage } from '@millrace/storage';
import { createChunkIndexer, fileFault, type ChunkIndexerOptions, type FileFault, type FileIndex } from '@millrace/tabular';
import { ContentFault } from './content-fault.ts';
import { unpack, type Packing } from './decompress.ts';
import { countBytes, type ReceivedBytes } from './received-bytes.ts';

export type SpoolLimits = {
  /** Bytes as they are sent. */
  uploadBytesMax: number;
  /** Bytes after unpacking. */
  unpackedBytesMax: number;
  recordBytesMax: number;
};

export type SpoolRequest = {
  /** The next bytes as they were sent, null at the end. */
  next(): Promise<Buffer | null>;
  storage: UploadStorage;
  packing: Packing;
  indexing: Pick<ChunkIndexerOptions, 'format' | 'csv'>;
  limits: SpoolLimits;
};

/** A compressed upload may grow this much; what grows more is taken for an attack. */
const UNPACKED_FACTOR_MAX = 10;

/** The limits that a process is configured with. */
export function spoolLimits({ maxUploadBytes, maxRecordBytes }: { maxUploadBytes: number; maxRecordBytes: number }): SpoolLimits {
  return { uploadBytesMax: maxUploadBytes, unpackedBytesMax: maxUploadBytes * UNPACKED_FACTOR_MAX, recordBytesMax: maxRecordBytes };
}

/** What was sent. The writer is not committed yet; whoever gets it must commit or abort it. */
export type SpooledContent = { sizeBytes: number; sha256: string } & (
  { kind: 'indexed'; writer: StorageWriter; index: FileIndex; checksums: Uint32Array } | { kind: 'fault'; fault: FileFault }
);

/** A file that unpacks to more than this many times its size is a bomb; real tables rarely pass 50. */
const UNPACK_RATIO_MAX = 200;
/** Below this much the ratio does not matter. */
const UNPACK_RATIO_FROM_BYTES = 64 * 1024 * 1024;
const CHUNK_BYTES = 8 * 1024 * 1024;
/** Below the 65,534 that a chunk's id can name, for chunks may come out shorter than asked for only at the end. */
const CHUNK_COUNT_MAX = 60_000;

/**
 * Answers the content, or the fault it has as a whole; nothing is left in the storage then.
 * @throws AppError payload-too-large, insufficient-storage, and what `next` throws; nothing is left in the storage either
 */
export async function spoolContent(request: SpoolRequest, signal: AbortSignal): Promise<SpooledContent> {
  const { limits, storage } = request;
  const received = countBytes(() => request.next(), limits.uploadBytesMax, signal);
  const writer = await storage.create({ bytesMax: limits.unpackedBytesMax });
  try {
    const spool = createSpool(writer, request, received);
    await unpack(received, request.packing, spool.write);
    const { index, checksums } = spool.end();
    return { kind: 'indexed', writer, index, checksums, sizeBytes: received.sizeBytes(), sha256: received.sha256() };
  } catch (error) {
    await writer.abort();
    if (!(error instanceof ContentFault)) throw error;
    // What cannot be read is still received to its end, so that its size and hash are known and the client gets its answer.
    await drain(received);
    return { kind: 'fault', fault: error.fault, sizeBytes: received.sizeBytes(), sha256: received.sha256() };
  }
}

async function drain(received: ReceivedBytes): Promise<void> {
  while ((await received.next()) !== null);
}

type Spool = { write(bytes: Buffer): Promise<void>; end(): { index: FileIndex; checksums: Uint32Array } };

function createSpool(writer: StorageWriter, { indexing, limits }: SpoolRequest, received: ReceivedBytes): Spool {
  const chunkBytes = Math.max(CHUNK_BYTES, Math.ceil(limits.unpackedBytesMax / CHUNK_COUNT_MAX));
  const indexer = createChunkIndexer({ ...indexing, chunkBytes, maxRecordBytes: limits.recordBytesMax });
  const checksums = blockChecksums();
  let unpackedBytes = 0;
  return {
    write: async (bytes) => {
      unpackedBytes += bytes.length;
      requireUnpackedWithin({ unpackedBytes, receivedBytes: received.sizeBytes(), bytesMax: limits.unpackedBytesMax });
      indexer.push(bytes);
      const fault = indexer.fault();
      if (fault !== null) throw new ContentFault(fault);
      checksums.push(bytes);
      await writer.write(bytes);
    },
    end: () => {
      const index = indexer.end();
      if (index.kind === 'fault') throw new ContentFault(index);
      return { index, checksums: checksums.end() };
    },
  };
}

function requireUnpackedWithin({
  unpackedBytes,
  receivedBytes,
  bytesMax,
}: {
  unpackedBytes: number;
  receivedBytes: number;
  bytesMax: number;
}): void {
  if (unpackedBytes > bytesMax)
    throw new ContentFault(fileFault('decompression-limit', `The file unpacks to more than ${bytesMax} bytes.`));
  if (unpackedBytes > UNPACK_RATIO_FROM_BYTES && unpackedBytes > receivedBytes * UNPACK_RATIO_MAX) {
    throw new ContentFault(fileFault('decompression-limit', `The file unpacks to more than ${UNPACK_RATIO_MAX} times its size.`));
  }
}

/** Faults that the upload's own answer tells; all others are the import's. */
export function asUploadError(fault: FileFault): AppError | null {
  if (fault.code === 'empty-file')
    return new AppError('empty-file', { errors: [{ pointer: '', code: 'empty-file', message: fault.message }] });
  return fault.code === 'unsupported-file' ? new AppError('unsupported-file', { detail: fault.message }) : null;
}
