// Indexes a file while it streams by: head first, then record boundaries, in constant memory (the head and counters).
// Leaves storing the bytes, decompression and reading the rows to the caller and to row-reader.ts.

import { fileFault } from '../types.ts';
import type { CsvDialect, FileFault, FileFormat, FileIndex } from '../types.ts';
import { createLineScanner } from './boundary-scanner.ts';
import type { BoundaryScanner } from './boundary-scanner.ts';
import { createChunkList, finishChunks } from './chunk-list.ts';
import type { ChunkList } from './chunk-list.ts';
import { createCsvScanner } from './csv-boundaries.ts';
import { readHead } from './read-head.ts';
import type { FileHead } from './read-head.ts';

export interface ChunkIndexerOptions {
  format: FileFormat | 'auto';
  /** What is known of the dialect; the rest is found in the file. */
  csv?: Partial<CsvDialect>;
  /** A chunk ends with the record that reaches this size. Default 8 MiB. */
  chunkBytes?: number;
  /** Default 16 MiB. */
  maxRecordBytes?: number;
  /** Bytes gathered before format and header are judged. Default 64 KiB: enough to judge, little enough to hold. */
  headBytes?: number;
}

export interface ChunkIndexer {
  /** Takes the next bytes of the (decompressed) file; pushes may be of any size. */
  push: (bytes: Uint8Array) => void;
  /** The fault found so far, so that an upload can be stopped early; further pushes only count. */
  fault: () => FileFault | null;
  end: () => FileIndex | FileFault;
}

const endOfDosFile = 0x1a;

interface Body {
  head: FileHead;
  list: ChunkList;
  scanner: BoundaryScanner;
}

interface IndexerState {
  options: ChunkIndexerOptions;
  chunkBytes: number;
  maxRecordBytes: number;
  /** The head, until it could be read. */
  pieces: Buffer[];
  headSize: number;
  /** Size at which reading the head is tried; doubles, so that a long first record costs linear time. */
  headWanted: number;
  body: Body | null;
  sizeBytes: number;
  /** Offset up to which the body was scanned. */
  scanned: number;
  /** How many 0x1a bytes the text ends with at this moment. */
  dosEndCount: number;
  fault: FileFault | null;
}

function countDosEnd(bytes: Buffer, before: number): number {
  let p = bytes.length;
  while (p > 0 && bytes[p - 1] === endOfDosFile) p--;
  return p === 0 ? before + bytes.length : bytes.length - p;
}

function openBody(state: IndexerState, head: FileHead): Body {
  const limits = { chunkBytes: state.chunkBytes, maxRecordBytes: state.maxRecordBytes };
  const list = createChunkList(limits, head.bodyOffset, head.bodyLine);
  const scanner = head.format === 'csv' ? createCsvScanner(list, head.dialect) : createLineScanner(list);
  return { head, list, scanner };
}

/** Tries to read the head of what was gathered, and hands the rest of it to the scanner. */
function tryHead(state: IndexerState, isWhole: boolean): void {
  const bytes = state.pieces.length === 1 ? (state.pieces[0] as Buffer) : Buffer.concat(state.pieces);
  const result = readHead(
    isWhole ? bytes.subarray(0, bytes.length - state.dosEndCount) : bytes,
    { format: state.options.format, csv: state.options.csv ?? {} },
    isWhole,
  );
  if (result === 'more') {
    state.pieces = [bytes];
    state.headWanted = bytes.length * 2;
    if (bytes.length > state.maxRecordBytes)
      state.fault = fileFault('record-too-large', `The first record is longer than ${state.maxRecordBytes} bytes.`, 1);
    return;
  }
  state.pieces = [];
  if (result.kind === 'fault') {
    state.fault = result;
    return;
  }
  if (result.bodyOffset > state.maxRecordBytes) {
    state.fault = fileFault('record-too-large', `The header is longer than ${state.maxRecordBytes} bytes.`, 1);
    return;
  }
  state.body = openBody(state, result);
  state.scanned = result.bodyOffset;
  scanBody(state, state.body, bytes.subarray(result.bodyOffset));
}

function scanBody(state: IndexerState, body: Body, bytes: Buffer): void {
  body.scanner.scan(bytes, state.scanned);
  state.scanned += bytes.length;
  state.fault = body.list.fault;
}

function gatherHead(state: IndexerState, bytes: Buffer): void {
  // A copy: the caller may use its buffer again.
  state.pieces.push(Buffer.from(bytes));
  state.headSize += bytes.length;
  if (state.headSize >= state.headWanted) tryHead(state, false);
}

function finish(state: IndexerState): FileIndex | FileFault {
  if (state.fault === null && state.body === null) tryHead(state, true);
  const { body } = state;
  if (state.fault !== null) return state.fault;
  if (body === null) return fileFault('empty-file', 'The file holds no text.');
  const fault = body.scanner.finish() ?? body.list.fault;
  if (fault !== null) return fault;
  const { head, list } = body;
  const textEnd = Math.max(state.sizeBytes - state.dosEndCount, list.chunkStart);
  const chunks = finishChunks(list, textEnd);
  return {
    kind: 'index',
    format: head.format,
    dialect: head.dialect,
    headerColumns: head.headerColumns,
    sampledColumns: head.sampledColumns,
    encoding: 'utf-8',
    chunks,
    recordCountEstimate: list.recordCount,
    sizeBytes: state.sizeBytes,
  };
}

/** Makes an indexer for one file. */
export function createChunkIndexer(options: ChunkIndexerOptions): ChunkIndexer {
  const state: IndexerState = {
    options,
    chunkBytes: options.chunkBytes ?? 8 * 1024 * 1024,
    maxRecordBytes: options.maxRecordBytes ?? 16 * 1024 * 1024,
    pieces: [],
    headSize: 0,
    headWanted: options.headBytes ?? 64 * 1024,
    body: null,
    sizeBytes: 0,
    scanned: 0,
    dosEndCount: 0,
    fault: null,
  };
  return {
    push: (bytes) => {
      const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      state.sizeBytes += view.length;
      if (state.fault !== null || view.length === 0) return;
      state.dosEndCount = countDosEnd(view, state.dosEndCount);
      if (state.body === null) gatherHead(state, view);
      else scanBody(state, state.body, view);
    },
    fault: () => state.fault,
    end: () => finish(state),
  };
}
