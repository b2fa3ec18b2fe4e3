// Splits one CSV record into cells by strict RFC 4180 rules, over bytes: a quote opens only at the start of a cell, and after
// the closing one the cell must end. Leaves meaning to copy-row.ts; csv-boundaries.ts keeps the same rules across pushes.

import { verdict } from '../checks/verdict.ts';
import type { CsvDialect } from '../types.ts';
import { cellFlag } from './record.ts';
import type { ReadRecord, RecordCursor } from './record.ts';

// Byte classes; everything from `delimiter` on ends a cell.
const plain = 0;
const escapable = 1;
const quoteMark = 2;
const escapeMark = 3;
const carriageReturn = 4;
const delimiterMark = 5;
const lineBreak = 6;

const LF = 0x0a;
const CR = 0x0d;

interface Rules {
  quote: number;
  escape: number;
  isCrFile: boolean;
  outside: Uint8Array;
  inside: Uint8Array;
  delimiter: number;
  /** Flags of the cell being read; here so that the cell's functions can return positions. */
  flags: number;
}

/** The byte of a one-character dialect setting; -1 when it is empty. */
export function byteOf(character: string): number {
  return character === '' ? -1 : character.charCodeAt(0);
}

function compileRules(dialect: CsvDialect): Rules {
  const quote = byteOf(dialect.quote);
  const escape = quote === -1 ? -1 : byteOf(dialect.escape);
  const isCrFile = dialect.lineEnd === 'cr';
  const inside = new Uint8Array(256);
  for (const byte of [0x09, LF, CR, 0x5c]) inside[byte] = escapable;
  const outside = Uint8Array.from(inside);
  if (escape !== -1) inside[escape] = escapeMark;
  if (quote !== -1) inside[quote] = outside[quote] = quoteMark;
  outside[LF] = lineBreak;
  outside[CR] = isCrFile ? lineBreak : carriageReturn;
  const delimiter = byteOf(dialect.delimiter);
  outside[delimiter] = delimiterMark;
  return { quote, escape, isCrFile, outside, inside, delimiter, flags: 0 };
}

/** Whether the CR at `p` ends a line of the file; CRLF is counted at its LF. */
function isLoneBreak(rules: Rules, bytes: Buffer, p: number): boolean {
  return rules.isCrFile && bytes[p] === CR && bytes[p + 1] !== LF;
}

/** From the byte after an opening quote to the closing one, whose position is returned. */
function readQuoted(rules: Rules, cursor: RecordCursor, from: number): number {
  const { bytes } = cursor;
  const { inside, quote, escape } = rules;
  for (let p = from; p < bytes.length; p++) {
    const kind = inside[bytes[p] as number] as number;
    if (kind === plain) continue;
    const following = p + 1 < bytes.length ? bytes[p + 1] : -1;
    if (bytes[p] === escape && (following === quote || (following === escape && escape !== quote))) {
      rules.flags |= cellFlag.encoded;
      p++;
    } else if (kind === quoteMark) {
      return p;
    } else {
      if (bytes[p] === LF || isLoneBreak(rules, bytes, p)) cursor.nextLine++;
      rules.flags |= cellFlag.needsEscape;
    }
  }
  // The index lets no such chunk through; one whose file changed since may still come.
  cursor.fault = verdict.badQuote;
  return bytes.length;
}

/** From inside an unquoted cell, or behind a closing quote, to what ends the cell. */
function readPlain(rules: Rules, cursor: RecordCursor, from: number): number {
  const { bytes } = cursor;
  const { outside } = rules;
  for (let p = from; p < bytes.length; p++) {
    const kind = outside[bytes[p] as number] as number;
    if (kind === plain) continue;
    if (kind >= delimiterMark) return p;
    if (kind === carriageReturn && (p + 1 === bytes.length || bytes[p + 1] === LF)) return p;
    if (kind === quoteMark) cursor.fault = verdict.badQuote;
    rules.flags |= cellFlag.needsEscape;
  }
  return bytes.length;
}

/** Reads the cell that starts at `from` and returns the position of what ends it. */
function readCell(rules: Rules, cursor: RecordCursor, from: number): number {
  const { bytes, cellCount } = cursor;
  const isQuoted = from < bytes.length && bytes[from] === rules.quote;
  rules.flags = isQuoted ? cellFlag.quoted : 0;
  const start = isQuoted ? from + 1 : from;
  const close = isQuoted ? readQuoted(rules, cursor, start) : start;
  const after = isQuoted ? Math.min(close + 1, bytes.length) : start;
  const end = readPlain(rules, cursor, after);
  if (isQuoted && end > after) cursor.fault = verdict.badQuote;
  if (cellCount < cursor.starts.length) {
    cursor.starts[cellCount] = start;
    cursor.ends[cellCount] = isQuoted ? close : end;
    cursor.flags[cellCount] = rules.flags;
  }
  return end;
}

/** Steps over the line end at `end`, if the bytes do not just stop there. */
function passLineEnd(cursor: RecordCursor, end: number): number {
  const { bytes } = cursor;
  const isCrLf = bytes[end] === CR && end + 1 < bytes.length && bytes[end + 1] === LF;
  cursor.nextLine++;
  return Math.min(end + (isCrLf ? 2 : 1), bytes.length);
}

function isBlankRecord({ bytes, start, end }: RecordCursor): boolean {
  for (let p = start; p < end; p++) if (bytes[p] !== 0x20 && bytes[p] !== 0x09) return false;
  return true;
}

/** Makes the reader of one dialect. Cells beyond the cursor's width are counted, not kept. */
export function createCsvRecordReader(dialect: CsvDialect): ReadRecord {
  const rules = compileRules(dialect);
  return (cursor) => {
    const { bytes } = cursor;
    cursor.start = cursor.position;
    cursor.line = cursor.nextLine;
    cursor.fault = verdict.ok;
    cursor.faultCell = -1;
    cursor.cellCount = 0;
    let end = cursor.start - 1;
    do {
      end = readCell(rules, cursor, end + 1);
      if (cursor.fault !== verdict.ok && cursor.faultCell === -1) cursor.faultCell = cursor.cellCount;
      cursor.cellCount++;
    } while (end < bytes.length && bytes[end] === rules.delimiter);
    cursor.end = end;
    cursor.position = passLineEnd(cursor, end);
    cursor.isBlank = cursor.cellCount === 1 && ((cursor.flags[0] as number) & cellFlag.quoted) === 0 && isBlankRecord(cursor);
  };
}

/** Resolves doubled (or escaped) quotes of the range into `target`; returns the length written. */
export function decodeCsvCell(cell: { bytes: Buffer; start: number; end: number }, dialect: CsvDialect, target: Buffer): number {
  const { bytes, end } = cell;
  const quote = byteOf(dialect.quote);
  const escape = byteOf(dialect.escape);
  let length = 0;
  for (let p = cell.start; p < end; p++) {
    const isEscape = bytes[p] === escape && p + 1 < end && (bytes[p + 1] === quote || bytes[p + 1] === escape);
    if (isEscape) p++;
    target[length++] = bytes[p] as number;
  }
  return length;
}
