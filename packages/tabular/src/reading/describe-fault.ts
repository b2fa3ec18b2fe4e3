// Turns a verdict into a reject that a person can act on: code, words, and the record as it stands, all of limited length.
// Leaves deciding to the checks.

import { rejectCodeOf } from '../checks/verdict.ts';
import type { Verdict } from '../checks/verdict.ts';
import type { ColumnSpec, Reject, RejectCode } from '../types.ts';
import type { RecordCursor } from './record.ts';

export const rawBytesMax = 8 * 1024;
const excerptLength = 80;

/** Valid UTF-8 cannot be cut in the middle of a character without leaving continuation bytes (10xxxxxx) at the cut. */
function cutUtf8(bytes: Buffer, max: number): Buffer {
  if (bytes.length <= max) return bytes;
  let end = max;
  while (end > max - 4 && end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}

/** The bytes of a record as text of at most 8 KiB; what is no UTF-8, and NUL, which PostgreSQL cannot hold, show as U+FFFD. */
export function rawExcerpt(bytes: Buffer, start: number, end: number): string {
  const text = cutUtf8(bytes.subarray(start, end), rawBytesMax).toString('utf8').replaceAll('\0', '\ufffd');
  // Replacement characters take three bytes each, so the text may have grown.
  return Buffer.byteLength(text) <= rawBytesMax ? text : cutUtf8(Buffer.from(text), rawBytesMax).toString('utf8');
}

function valueExcerpt(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, Math.min(end, start + excerptLength * 4));
  const short = text.length > excerptLength ? `${text.slice(0, excerptLength).toWellFormed()}…` : text;
  return JSON.stringify(short.replaceAll('\0', '\ufffd'));
}

const typeNames: Partial<Record<ColumnSpec['type'], string>> = {
  integer: 'a whole number of 32 bits',
  bigint: 'a whole number of 64 bits',
  numeric: 'a plain decimal number',
  double: 'a finite number',
  boolean: 'true or false',
  date: 'a date as YYYY-MM-DD',
  timestamptz: 'a time stamp as YYYY-MM-DDThh:mm:ss with an optional zone',
  uuid: 'a UUID',
  inet: 'an IP address',
};

function describeRange({ min, max }: ColumnSpec): string {
  if (min === undefined) return `above ${max}`;
  return max === undefined ? `below ${min}` : `not between ${min} and ${max}`;
}

type Describe = (value: string, column: ColumnSpec) => string;

const columnMessages: Partial<Record<RejectCode, Describe>> = {
  type: (value, column) => `${value} is not ${typeNames[column.type] ?? 'a single value'}.`,
  required: () => 'A value is required.',
  range: (value, column) => `${value} is ${describeRange(column)}.`,
  length: (_value, column) => `The text is longer than ${column.maxLength} characters.`,
  enum: (value) => `${value} is not one of the allowed values.`,
  pattern: (value) => `${value} does not match the pattern.`,
};

const recordMessages: Partial<Record<RejectCode, string>> = {
  'bad-quote': 'A quote stands where none may be.',
  encoding: 'The bytes are not valid UTF-8.',
  nul: 'A NUL character cannot be stored.',
  json: 'The text is not valid JSON.',
  'too-deep': 'The JSON is nested more than 32 levels deep.',
};

export interface FaultOfRow {
  cursor: RecordCursor;
  judged: Verdict;
  /** The dataset column at fault, where it is one; else the name to show. */
  column: ColumnSpec | null;
  columnName: string | null;
  /** Its cell in the cursor, -1 for none. */
  cell: number;
  /** For `column-count`. */
  message?: string;
}

/** The reject of a record. */
export function describeFault(fault: FaultOfRow): Reject {
  const { cursor, column, columnName, cell } = fault;
  const code = rejectCodeOf(fault.judged);
  const describe = columnMessages[code];
  const value = cell >= 0 ? valueExcerpt(cursor.bytes, cursor.starts[cell] as number, cursor.ends[cell] as number) : '';
  const message = fault.message ?? (describe !== undefined && column !== null ? describe(value, column) : (recordMessages[code] ?? code));
  return { line: cursor.line, column: columnName, code, message, raw: rawExcerpt(cursor.bytes, cursor.start, cursor.end) };
}

/** The words for a key of an NDJSON record that the dataset does not have. */
export function describeUnknownKey(cursor: RecordCursor): string {
  return `The dataset does not have ${valueExcerpt(cursor.bytes, cursor.starts[0] as number, cursor.ends[0] as number)}.`;
}
