// Gathers record ends into chunks of about the same size and watches the length of records.
// Leaves finding the record ends to csv-boundaries.ts and line-boundaries.ts.

import { fileFault } from '../types.ts';
import type { FileChunk, FileFault } from '../types.ts';

export interface ChunkList {
  chunks: FileChunk[];
  recordCount: number;
  /** Where the record at hand starts, and its physical line; `line` is the one being read. */
  recordStart: number;
  recordLine: number;
  line: number;
  chunkStart: number;
  chunkLine: number;
  readonly chunkBytes: number;
  readonly maxRecordBytes: number;
  fault: FileFault | null;
}

export interface ChunkLimits {
  chunkBytes: number;
  maxRecordBytes: number;
}

export function createChunkList(limits: ChunkLimits, byteOffset: number, line: number): ChunkList {
  return {
    chunks: [],
    recordCount: 0,
    recordStart: byteOffset,
    recordLine: line,
    line,
    chunkStart: byteOffset,
    chunkLine: line,
    ...limits,
    fault: null,
  };
}

function closeChunk(list: ChunkList, end: number): void {
  list.chunks.push({
    ordinal: list.chunks.length,
    byteOffset: list.chunkStart,
    byteLength: end - list.chunkStart,
    firstLine: list.chunkLine,
  });
  list.chunkStart = end;
  list.chunkLine = list.line;
}

/** The fault of a record that is too long. */
export function recordTooLarge(list: ChunkList, line: number): FileFault {
  return fileFault('record-too-large', `The record at line ${line} is longer than ${list.maxRecordBytes} bytes.`, line);
}

/** Notes that a record, line end included, ended before the absolute offset `next`. */
export function endRecord(list: ChunkList, next: number): void {
  if (next - list.recordStart > list.maxRecordBytes) list.fault ??= recordTooLarge(list, list.recordLine);
  list.line++;
  list.recordCount++;
  list.recordStart = next;
  list.recordLine = list.line;
  if (next - list.chunkStart >= list.chunkBytes) closeChunk(list, next);
}

/** Closes the last chunk at the end of the text and returns them all. */
export function finishChunks(list: ChunkList, end: number): FileChunk[] {
  if (end > list.recordStart) list.recordCount++;
  if (end > list.chunkStart) closeChunk(list, end);
  return list.chunks;
}
