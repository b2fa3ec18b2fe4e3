// The vocabulary of delimited files and their faults: column types, dialects, chunks, rejects, file faults.
// Leaves the REST schemas to packages/shared and every rule to the modules that keep it.

export type ColumnType =
  'text' | 'integer' | 'bigint' | 'numeric' | 'double' | 'boolean' | 'date' | 'timestamptz' | 'uuid' | 'inet' | 'json' | 'enum';

export interface ColumnSpec {
  name: string;
  type: ColumnType;
  /** A null is a reject `required`. Default false. */
  required?: boolean;
  /** Inclusive bounds of numbers, dates and timestamps; a string keeps more than 15 digits exact. */
  min?: number | string;
  max?: number | string;
  /** In Unicode code points. */
  maxLength?: number;
  /** RE2 syntax, found anywhere in the value unless anchored; linear time. */
  pattern?: string;
  /** The words of an enum (allowed for text too). */
  values?: readonly string[];
  aliases?: readonly string[];
}

/** Where a record ends outside quotes: at LF (with or without CR before it), or at CR as well when the header ends in a lone CR. */
export type LineEnd = 'lf' | 'cr';

export interface CsvDialect {
  /** One ASCII character. */
  delimiter: string;
  /** One ASCII character, or empty for files without quoting. */
  quote: string;
  /** The same as `quote` (RFC 4180: doubled), or another ASCII character that stands before a quote. */
  escape: string;
  header: boolean;
  /** Unquoted words that mean null besides the empty cell. Default none. */
  nullValues: string[];
  lineEnd: LineEnd;
}

export type FileFormat = 'csv' | 'ndjson';

export type RejectCode =
  | 'column-count'
  | 'bad-quote'
  | 'encoding'
  | 'nul'
  | 'type'
  | 'required'
  | 'range'
  | 'length'
  | 'enum'
  | 'pattern'
  | 'duplicate'
  | 'constraint'
  | 'json'
  | 'too-deep';

export type FileFaultCode =
  | 'header-mismatch'
  | 'unterminated-quote'
  | 'record-too-large'
  | 'unsupported-encoding'
  | 'unsupported-file'
  | 'corrupt-archive'
  | 'decompression-limit'
  | 'source-changed'
  | 'too-many-rejects'
  | 'empty-file';

/** One row that cannot be loaded: the first column at fault, in the order of the dataset's columns. */
export interface Reject {
  /** Physical line where the record starts; the first line of the file is 1. */
  line: number;
  column: string | null;
  code: RejectCode;
  message: string;
  /** The record as it stands in the file without its line end, at most 8 KiB; NUL shows as U+FFFD. */
  raw: string;
}

/** Why a file as a whole cannot be loaded. */
export interface FileFault {
  kind: 'fault';
  code: FileFaultCode;
  message: string;
  line?: number;
}

export interface FileChunk {
  ordinal: number;
  /** Counted from the first byte of the file, byte order mark and header included. */
  byteOffset: number;
  byteLength: number;
  /** Physical line where the chunk's first record starts. */
  firstLine: number;
}

export interface FileIndex {
  kind: 'index';
  format: FileFormat;
  dialect: CsvDialect;
  /** CSV: the header's cells (`column_1`... without a header). NDJSON: the keys of the first object; empty if none was readable. */
  headerColumns: string[];
  /** NDJSON only: further keys of the sampled head; they may serve a required column but are never "unknown". */
  sampledColumns: string[];
  encoding: 'utf-8';
  chunks: FileChunk[];
  /** Record ends seen, blank lines included; so never less than the number of records. */
  recordCountEstimate: number;
  sizeBytes: number;
}

/** Makes a file fault; `line` is the physical line to look at, where one is known. */
export function fileFault(code: FileFaultCode, message: string, line?: number): FileFault {
  return line === undefined ? { kind: 'fault', code, message } : { kind: 'fault', code, message, line };
}
