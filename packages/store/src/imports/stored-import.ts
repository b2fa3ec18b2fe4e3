// An import as its row holds it. Shared by all who read and change imports.
import type { CsvOptions, DatasetColumn, ImportStatus } from '@millrace/shared';

/** What was asked for when the import was made. */
export type ImportOptions = {
  mapping?: Record<string, string>;
  csv?: CsvOptions;
  onUnknownColumn: 'fail' | 'ignore' | 'keep';
  maxRejects?: number;
};

/** Why an import as a whole failed. */
export type ImportError = { code: string; message: string; line?: number };

/** How rows are read: fixed when the content came, so that every chunk is read alike whatever becomes of the dataset's rules. */
export type ImportPlan = {
  columns: DatasetColumn[];
  key: string[];
  /** Unknown columns go into the column `extra`. */
  keepsExtra: boolean;
  /** Which source column fills which; made and read by the parser, kept here as it is. */
  columnPlan: unknown;
  dialect: unknown;
};

export type StoredImport = {
  id: string;
  workspace: string;
  dataset: string;
  dataset_id: string;
  mode: 'insert' | 'upsert';
  format: 'auto' | 'csv' | 'ndjson';
  status: ImportStatus;
  options: ImportOptions;
  content_ref: string | null;
  size_bytes: number | null;
  sha256: string | null;
  header: string[] | null;
  bytes_total: number | null;
  bytes_done: number;
  rows_inserted: number;
  rows_updated: number;
  rows_unchanged: number;
  rows_superseded: number;
  rows_rejected: number;
  rejects_kept: number;
  chunks_total: number | null;
  chunks_done: number;
  error: ImportError | null;
  seq_last: number;
  created_at: Date;
  queued_at: Date | null;
  started_at: Date | null;
  finished_at: Date | null;
};

// float8 carries integers exactly up to 2^53 and arrives as a number, bigint as text.
const BIG = [
  'size_bytes',
  'bytes_total',
  'bytes_done',
  'rows_inserted',
  'rows_updated',
  'rows_unchanged',
  'rows_superseded',
  'rows_rejected',
];
const PLAIN = [
  'id',
  'workspace',
  'dataset',
  'dataset_id',
  'mode',
  'format',
  'status',
  'options',
  'content_ref',
  'sha256',
  'header',
  'rejects_kept',
  'chunks_total',
  'chunks_done',
  'error',
  'seq_last',
  'created_at',
  'queued_at',
  'started_at',
  'finished_at',
];

/** The select list for a StoredImport. */
export const IMPORT_COLUMNS = [...PLAIN, ...BIG.map((name) => `${name}::float8 AS ${name}`)].join(', ');
