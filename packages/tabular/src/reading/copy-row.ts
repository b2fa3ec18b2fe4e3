// Checks the cells of one record and writes them as a line of PostgreSQL's COPY text format, bytes to bytes.
// Leaves splitting records to the record readers and the words of a reject to describe-fault.ts.
// Format: https://www.postgresql.org/docs/current/sql-copy.html (Text Format).

import { isUtf8 } from 'node:buffer';
import { verdict } from '../checks/verdict.ts';
import type { CellCheck, Verdict } from '../checks/verdict.ts';
import { decodeCsvCell } from './csv-record.ts';
import type { CsvDialect } from '../types.ts';
import { cellFlag } from './record.ts';
import type { RecordCursor } from './record.ts';

/** What the writer needs to know of one column that is loaded. */
export interface CopyColumn {
  name: string;
  /** Index of its cell in the cursor. */
  cell: number;
  check: CellCheck | null;
  isText: boolean;
  isJson: boolean;
  isRequired: boolean;
}

/** A growing line of COPY text; mutable and shared, so that cells cost no allocation. */
export interface CopyWriter {
  out: Buffer;
  position: number;
  /** Holds one cell whose quotes or escapes were resolved. */
  scratch: Buffer;
  dialect: CsvDialect;
  isNdjson: boolean;
  /** Unquoted words that are null, as Latin-1 text of their bytes; null when there are none. */
  nullWords: ReadonlySet<string> | null;
  /** The record holds bytes that are no UTF-8, or NUL: each cell is looked at. */
  isDirty: boolean;
  /** The cell at hand: where its bytes are, resolved if need be. */
  bytes: Buffer;
  start: number;
  end: number;
}

const BACKSLASH = 0x5c;
const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const utcSuffix = Buffer.from('Z');
const midnightSuffix = Buffer.from(' 00:00:00Z');
/** From this length on a native copy is faster than a loop. */
const nativeCopyLength = 48;
/** Room per column beyond its bytes: `\N`, the separator, a suffix. */
export const columnOverhead = 16;

export function createCopyWriter(settings: Pick<CopyWriter, 'dialect' | 'isNdjson' | 'nullWords'>): CopyWriter {
  const none = Buffer.alloc(0);
  return { ...settings, out: none, position: 0, scratch: none, isDirty: false, bytes: none, start: 0, end: 0 };
}

/** Makes room for `size` more bytes, keeping what is written. */
export function reserve(writer: CopyWriter, size: number): void {
  const wanted = writer.position + size;
  if (wanted <= writer.out.length) return;
  const grown = Buffer.allocUnsafeSlow(Math.max(wanted, writer.out.length * 2));
  writer.out.copy(grown, 0, 0, writer.position);
  writer.out = grown;
}

function writePlain(writer: CopyWriter): void {
  const { out, bytes, start, end } = writer;
  let to = writer.position;
  if (end - start < nativeCopyLength) for (let p = start; p < end; p++) out[to++] = bytes[p] as number;
  else to += bytes.copy(out, to, start, end);
  writer.position = to;
}

/** Copies the cell at hand with backslash, tab, LF and CR escaped; twice its length must be reserved. */
export function writeEscaped(writer: CopyWriter): void {
  const { out, bytes, start, end } = writer;
  let to = writer.position;
  for (let p = start; p < end; p++) {
    let byte = bytes[p] as number;
    if (byte === BACKSLASH || byte === TAB || byte === LF || byte === CR) {
      out[to++] = BACKSLASH;
      if (byte === TAB) byte = 0x74;
      else if (byte === LF) byte = 0x6e;
      else if (byte === CR) byte = 0x72;
    }
    out[to++] = byte;
  }
  writer.position = to;
}

function writeSuffix(writer: CopyWriter, judged: Verdict): Verdict {
  const suffix = judged === verdict.appendUtc ? utcSuffix : midnightSuffix;
  writer.position += suffix.copy(writer.out, writer.position);
  return verdict.ok;
}

function writeNull(writer: CopyWriter, column: CopyColumn): Verdict {
  if (column.isRequired) return verdict.required;
  writer.out[writer.position] = BACKSLASH;
  writer.out[writer.position + 1] = 0x4e;
  writer.position += 2;
  return verdict.ok;
}

/** The fault of bytes that PostgreSQL cannot hold as text, or 0. */
export function judgeBytes(bytes: Buffer): Verdict {
  if (!isUtf8(bytes)) return verdict.encoding;
  return bytes.includes(0) ? verdict.nul : verdict.ok;
}

/** Resolves quotes or escapes of the cell at hand into the scratch, which becomes the cell. */
function decodeCell(writer: CopyWriter): Verdict {
  const { bytes, start, end } = writer;
  if (writer.scratch.length < end - start) writer.scratch = Buffer.allocUnsafeSlow((end - start) * 2);
  if (writer.isNdjson) {
    const text = String(JSON.parse(bytes.toString('utf8', start - 1, end + 1)));
    if (!text.isWellFormed()) return verdict.encoding;
    if (text.includes('\0')) return verdict.nul;
    writer.end = writer.scratch.write(text);
  } else {
    writer.end = decodeCsvCell(writer, writer.dialect, writer.scratch);
  }
  writer.bytes = writer.scratch;
  writer.start = 0;
  return verdict.ok;
}

/** Checks the cell at hand and writes it. */
function writeChecked(writer: CopyWriter, column: CopyColumn, isPlain: boolean): Verdict {
  const judged = column.check === null ? verdict.ok : column.check(writer.bytes, writer.start, writer.end);
  if (judged > 0) return judged;
  if (isPlain) writePlain(writer);
  else writeEscaped(writer);
  return judged === verdict.ok ? judged : writeSuffix(writer, judged);
}

function isNullWord({ nullWords, isNdjson, bytes, start, end }: CopyWriter): boolean {
  return nullWords !== null && !isNdjson && nullWords.has(bytes.toString('latin1', start, end));
}

/** Any cell but the plain one: quoted, encoded, JSON, or in a record or dialect that needs a closer look. */
function writeOddCell(writer: CopyWriter, column: CopyColumn, flags: number): Verdict {
  const isQuoted = (flags & cellFlag.quoted) !== 0;
  if ((flags & cellFlag.isNull) !== 0) return writeNull(writer, column);
  const judged = writer.isDirty ? judgeBytes(writer.bytes.subarray(writer.start, writer.end)) : verdict.ok;
  if (judged !== verdict.ok) return judged;
  if (!isQuoted && (writer.start === writer.end || isNullWord(writer))) return writeNull(writer, column);
  if ((flags & cellFlag.container) !== 0 && !column.isJson) return verdict.type;
  if (writer.isNdjson && column.isJson && isQuoted) {
    // A JSON string is a JSON value with its quotes.
    writer.start--;
    writer.end++;
    return writeChecked(writer, column, false);
  }
  const resolved = (flags & cellFlag.encoded) === 0 ? verdict.ok : decodeCell(writer);
  if (resolved !== verdict.ok) return resolved;
  if (writer.start === writer.end && !column.isText) return writeNull(writer, column);
  return writeChecked(writer, column, (flags & (cellFlag.needsEscape | cellFlag.encoded | cellFlag.container)) === 0);
}

/** Writes one cell without a separator. A positive verdict leaves half a line behind, which the caller takes back. */
export function writeCell(writer: CopyWriter, cursor: RecordCursor, column: CopyColumn): Verdict {
  const { cell } = column;
  const flags = cursor.flags[cell] as number;
  writer.bytes = cursor.bytes;
  writer.start = cursor.starts[cell] as number;
  writer.end = cursor.ends[cell] as number;
  if (flags !== 0 || writer.isDirty || writer.nullWords !== null) return writeOddCell(writer, column, flags);
  return writer.start === writer.end ? writeNull(writer, column) : writeChecked(writer, column, true);
}

const splitAt = 1_000_000_000;

/** Writes a whole number, at most 2^53, by digits of 31-bit integers, which is several times faster than by a string. */
export function writeDecimal(writer: CopyWriter, value: number): void {
  const high = value < splitAt ? 0 : Math.floor(value / splitAt);
  if (high > 0) writeDecimal(writer, high);
  let rest = high === 0 ? value | 0 : (value - high * splitAt) | 0;
  let length = high === 0 ? 1 : 9;
  for (let limit = 10; high === 0 && rest >= limit && length < 9; limit *= 10) length++;
  writer.position += length;
  for (let p = writer.position - 1; length > 0; length--, p--) {
    const next = (rest / 10) | 0;
    writer.out[p] = 0x30 + rest - next * 10;
    rest = next;
  }
}
