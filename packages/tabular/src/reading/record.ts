// The shape both readers (CSV and NDJSON) leave a record in: ranges of bytes per cell, no strings, no objects per row.
// Leaves finding the ranges to csv-record.ts and ndjson-record.ts, and judging them to copy-row.ts.

import type { Verdict } from '../checks/verdict.ts';

/** Flags of a cell; 0 is an unquoted CSV cell whose bytes may be copied as they are. */
export const cellFlag = {
  /** Stood in quotes; the range is what is between them. */
  quoted: 1,
  /** Holds backslash, tab, LF or CR, which COPY text wants escaped. */
  needsEscape: 2,
  /** Holds doubled quotes (CSV) or backslash escapes (JSON) that must be resolved first. */
  encoded: 4,
  /** JSON null or a missing key. */
  isNull: 8,
  /** A JSON object or array. */
  container: 16,
  /** A JSON number, true or false. */
  literal: 32,
} as const;

/** One record at a time, overwritten by the next; kept in one object so that the hot loops allocate nothing. */
export interface RecordCursor {
  bytes: Buffer;
  /** Where the next record starts. */
  position: number;
  /** Physical line of the record at hand, and of `position`. */
  line: number;
  nextLine: number;
  /** The record without its line end. */
  start: number;
  end: number;
  /** Cells by source column (CSV) or by dataset column (NDJSON). */
  starts: Int32Array;
  ends: Int32Array;
  flags: Uint8Array;
  cellCount: number;
  isBlank: boolean;
  /** 0, or what is wrong with the record's form; `faultCell` is the cell it was found in, -1 for none. */
  fault: Verdict;
  faultCell: number;
}

export function createRecordCursor(width: number): RecordCursor {
  return {
    bytes: Buffer.alloc(0),
    position: 0,
    line: 1,
    nextLine: 1,
    start: 0,
    end: 0,
    starts: new Int32Array(width),
    ends: new Int32Array(width),
    flags: new Uint8Array(width),
    cellCount: 0,
    isBlank: false,
    fault: 0,
    faultCell: -1,
  };
}

/** Reads the next record of `cursor.bytes` into the cursor. Call only while `position < bytes.length`. */
export type ReadRecord = (cursor: RecordCursor) => void;
