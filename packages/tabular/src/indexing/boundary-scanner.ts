// Finds where records end in a stream of pushes: the plain case, where every LF ends one (NDJSON, CSV without quoting).
// Leaves quotes to csv-boundaries.ts and what to do with the ends to chunk-list.ts.

import type { FileFault } from '../types.ts';
import { endRecord, recordTooLarge } from './chunk-list.ts';
import type { ChunkList } from './chunk-list.ts';

export interface BoundaryScanner {
  /** Reads the next bytes, which stand at the absolute offset `base`. */
  scan: (bytes: Buffer, base: number) => void;
  /** The fault of a file that stops here, or null. */
  finish: () => FileFault | null;
}

const lineFeed = 0x0a;

/** Ends a record at every LF; `Buffer.indexOf` is a vectorised search. */
export function scanLines(list: ChunkList, bytes: Buffer, base: number): void {
  for (let p = bytes.indexOf(lineFeed); p !== -1; p = bytes.indexOf(lineFeed, p + 1)) endRecord(list, base + p + 1);
}

/** Stops a record that grows beyond the limit before its end is seen. */
export function checkOpenRecord(list: ChunkList, position: number): void {
  if (position - list.recordStart > list.maxRecordBytes) list.fault ??= recordTooLarge(list, list.recordLine);
}

export function createLineScanner(list: ChunkList): BoundaryScanner {
  return {
    scan: (bytes, base) => {
      scanLines(list, bytes, base);
      checkOpenRecord(list, base + bytes.length);
    },
    finish: () => null,
  };
}
