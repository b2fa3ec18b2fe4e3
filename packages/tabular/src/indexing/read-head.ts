// Reads what the head of a file tells about the whole: format, dialect, column names, and where the records begin.
// Leaves the records themselves to the boundary scanners.

import { isUtf8 } from 'node:buffer';
import { createCsvRecordReader, decodeCsvCell, byteOf } from '../reading/csv-record.ts';
import { cellFlag, createRecordCursor } from '../reading/record.ts';
import { fileFault } from '../types.ts';
import type { CsvDialect, FileFault, FileFormat } from '../types.ts';
import { findCsvHead } from './csv-head.ts';
import type { CsvHead } from './csv-head.ts';
import { byteOrderMarkLength, inferFormat, sniffForeignFile } from './sniff-file.ts';

/** More columns than PostgreSQL allows in a table (1,600), so that nothing real is refused. */
export const columnCountMax = 4096;
/** Objects of the head whose keys are gathered. */
const sampledLineMax = 100;

export interface HeadRequest {
  format: FileFormat | 'auto';
  csv: Partial<CsvDialect>;
}

export interface FileHead {
  kind: 'head';
  format: FileFormat;
  dialect: CsvDialect;
  headerColumns: string[];
  sampledColumns: string[];
  /** Where the first record after the header starts, and its physical line. */
  bodyOffset: number;
  bodyLine: number;
}

type HeadResult = FileHead | FileFault | 'more';

const defaultDialect: CsvDialect = { delimiter: ',', quote: '"', escape: '"', header: true, nullValues: [], lineEnd: 'lf' };

function readCells(bytes: Buffer, found: CsvHead, dialect: CsvDialect): { cells: string[]; isWellFormed: boolean } {
  const cursor = createRecordCursor(columnCountMax);
  cursor.bytes = bytes.subarray(found.start, found.next);
  createCsvRecordReader(dialect)(cursor);
  const cells: string[] = [];
  for (let i = 0; i < Math.min(cursor.cellCount, columnCountMax); i++) {
    const range = { bytes: cursor.bytes, start: cursor.starts[i] as number, end: cursor.ends[i] as number };
    const isEncoded = ((cursor.flags[i] as number) & cellFlag.encoded) !== 0;
    const decoded = Buffer.alloc(isEncoded ? range.end - range.start : 0);
    cells.push(
      isEncoded
        ? decoded.toString('utf8', 0, decodeCsvCell(range, dialect, decoded))
        : range.bytes.toString('utf8', range.start, range.end),
    );
  }
  return { cells, isWellFormed: cursor.fault === 0 && cursor.cellCount <= columnCountMax };
}

/** The fault of a header that cannot be relied on, or null. */
function faultOfHeader(bytes: Buffer, found: CsvHead, isWellFormed: boolean): FileFault | null {
  const { line } = found;
  if (!isUtf8(bytes.subarray(found.start, found.end))) return fileFault('unsupported-encoding', 'The header is not UTF-8.', line);
  if (found.isOpen) return fileFault('unterminated-quote', `The quote opened in the header at line ${line} is never closed.`, line);
  if (isWellFormed) return null;
  return fileFault('header-mismatch', `The header has a quote out of place or more than ${columnCountMax} columns.`, line);
}

function readCsvHead(bytes: Buffer, request: HeadRequest, isWhole: boolean): HeadResult {
  const { csv } = request;
  const quote = csv.quote ?? defaultDialect.quote;
  const escape = csv.escape ?? quote;
  const found = findCsvHead({
    bytes,
    from: byteOrderMarkLength(bytes),
    quote: byteOf(quote),
    escape: byteOf(escape),
    delimiter: byteOf(csv.delimiter ?? ''),
    isWhole,
  });
  if (found === 'more') return 'more';
  if (found === 'blank') return fileFault('empty-file', 'The file holds no text.');
  const dialect: CsvDialect = {
    ...defaultDialect,
    ...csv,
    quote,
    escape,
    delimiter: String.fromCharCode(found.delimiter),
    lineEnd: csv.lineEnd ?? found.lineEnd,
  };
  const { cells, isWellFormed } = readCells(bytes, found, dialect);
  const fault = dialect.header ? faultOfHeader(bytes, found, isWellFormed) : null;
  if (fault !== null) return fault;
  return {
    kind: 'head',
    format: 'csv',
    dialect,
    headerColumns: dialect.header ? cells : cells.map((_, index) => `column_${index + 1}`),
    sampledColumns: [],
    bodyOffset: dialect.header ? found.next : found.start,
    bodyLine: dialect.header ? found.nextLine : found.line,
  };
}

/** The keys of a line that is a JSON object; null for any other line, which its row will be rejected for. */
function keysOf(line: string): string[] | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : null;
  } catch {
    // Not JSON: the row reader says so, with the line.
    return null;
  }
}

function readNdjsonHead(bytes: Buffer, request: HeadRequest, isWhole: boolean): HeadResult {
  const bodyOffset = byteOrderMarkLength(bytes);
  const lastEnd = isWhole ? bytes.length : bytes.lastIndexOf(0x0a);
  const text = bytes.toString('utf8', bodyOffset, Math.max(lastEnd, bodyOffset));
  if (text.trim() === '') return isWhole ? fileFault('empty-file', 'The file holds no text.') : 'more';
  const shapes: string[][] = [];
  for (const line of text.split('\n', sampledLineMax)) {
    const keys = keysOf(line);
    if (keys !== null) shapes.push(keys.slice(0, columnCountMax));
  }
  const headerColumns = shapes[0] ?? [];
  const known = new Set(headerColumns);
  const sampledColumns = [...new Set(shapes.flat())].filter((key) => !known.has(key)).slice(0, columnCountMax);
  return {
    kind: 'head',
    format: 'ndjson',
    dialect: { ...defaultDialect, ...request.csv },
    headerColumns,
    sampledColumns,
    bodyOffset,
    bodyLine: 1,
  };
}

/** 'more' when the first record does not end in these bytes; with `isWhole` never. */
export function readHead(bytes: Buffer, request: HeadRequest, isWhole: boolean): HeadResult {
  if (bytes.length === 0) return fileFault('empty-file', 'The file is empty.');
  const fault = sniffForeignFile(bytes);
  if (fault !== null) return fault;
  const format = request.format === 'auto' ? inferFormat(bytes) : request.format;
  return format === 'csv' ? readCsvHead(bytes, request, isWhole) : readNdjsonHead(bytes, request, isWhole);
}
