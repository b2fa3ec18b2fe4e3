// The REST shapes of imports: what a client may ask for, and how an import and its rejects are shown.
import { z } from 'zod';
import { pageQuery } from '../rest/common.ts';
import { IMPORT_STATUSES } from '../statuses.ts';
import { datasetNameSchema } from './dataset-schemas.ts';

const SOURCE_NAME_CHARS_MAX = 1_000;
const ENCODINGS: readonly string[] = ['utf-8', 'utf8'];

/** One ASCII character that can stand between or around cells: neither a line end nor NUL. */
const mark = z.string().regex(/^[\t\x20-\x7e]$/, 'must be one printable ASCII character or a tab');

export const csvOptionsSchema = z
  .strictObject({
    delimiter: mark.optional().describe('Default: found in the file (comma, semicolon, tab or bar).'),
    quote: z
      .union([mark, z.literal('')])
      .optional()
      .describe('Default a double quote. Empty: no quoting.'),
    escape: mark.optional().describe('What stands before a quote inside quotes. Default: the quote itself.'),
    header: z.boolean().optional().describe('Default true. Without one, columns are taken in order.'),
    encoding: z
      .string()
      .refine((name) => ENCODINGS.includes(name.toLowerCase()), 'must be utf-8')
      .optional(),
    nullValues: z.array(z.string().max(100)).max(50).optional().describe('Unquoted words that mean null besides the empty cell.'),
  })
  .superRefine((csv, context) => {
    const quote = csv.quote ?? '"';
    if (csv.delimiter !== undefined && csv.delimiter === quote)
      context.addIssue({ code: 'custom', path: ['delimiter'], message: 'must differ from the quote' });
    if (csv.escape !== undefined && csv.escape === csv.delimiter)
      context.addIssue({ code: 'custom', path: ['escape'], message: 'must differ from the delimiter' });
  });
export type CsvOptions = z.infer<typeof csvOptionsSchema>;

const notYet = (what: string) => z.never(`${what} is not available`).optional();

export const importBodySchema = z.strictObject({
  dataset: datasetNameSchema,
  mode: z.enum(['insert', 'upsert', 'replace']).refine((mode) => mode !== 'replace', 'replace is not available'),
  format: z.enum(['auto', 'csv', 'ndjson']).default('auto'),
  mapping: z
    .record(z.string().min(1).max(SOURCE_NAME_CHARS_MAX), z.string().max(63))
    .optional()
    .describe('Source column to dataset column. Without an entry: by name and aliases, ignoring case, spaces, _ and -.'),
  csv: csvOptionsSchema.optional(),
  onUnknownColumn: z.enum(['fail', 'ignore', 'keep']).default('fail'),
  maxRejects: z.int().min(0).max(1_000_000_000).optional().describe('More rejects than this fail the import. Default: no limit.'),
  dryRun: z.literal(false, 'a dry run is not available').optional(),
  source: notYet('a source'),
});
export type ImportBody = z.infer<typeof importBodySchema>;

const linksSchema = z.object({ self: z.string(), content: z.string(), events: z.string(), rejects: z.string(), dataset: z.string() });

export const createdImportSchema = z.object({
  id: z.uuid(),
  dataset: z.string(),
  mode: z.enum(['insert', 'upsert']),
  status: z.literal('awaiting_content'),
  links: linksSchema,
});
export type CreatedImportAnswer = z.infer<typeof createdImportSchema>;

export const acceptedContentSchema = z.object({
  id: z.uuid(),
  status: z.literal('queued'),
  sizeBytes: z.number().describe('Bytes as they were sent.'),
  sha256: z.string().describe('Of the bytes as they were sent, in hexadecimal digits.'),
});
export type AcceptedContentAnswer = z.infer<typeof acceptedContentSchema>;

const instant = z.iso.datetime().nullable();

export const importSchema = z.object({
  id: z.uuid(),
  dataset: z.string(),
  mode: z.enum(['insert', 'upsert']),
  format: z.enum(['auto', 'csv', 'ndjson']).describe('`auto` until the content has been seen.'),
  status: z.enum(IMPORT_STATUSES),
  workspace: z.string(),
  mapping: z.record(z.string(), z.string()).optional(),
  csv: csvOptionsSchema.optional(),
  onUnknownColumn: z.enum(['fail', 'ignore', 'keep']),
  maxRejects: z.number().nullable(),
  sizeBytes: z.number().nullable().describe('Bytes as they were sent.'),
  sha256: z.string().nullable(),
  header: z.array(z.string()).nullable().describe('Source columns as found in the file.'),
  bytesTotal: z.number().nullable().describe('Bytes of the file, decompressed.'),
  bytesDone: z.number(),
  rowsInserted: z.number(),
  rowsUpdated: z.number(),
  rowsUnchanged: z.number(),
  rowsSuperseded: z.number().describe('Rows of an upsert that a later line with the same key replaced.'),
  rowsRejected: z.number(),
  chunksTotal: z.number().nullable(),
  chunksDone: z.number(),
  rowsPerSecond: z.number().nullable(),
  etaSeconds: z.number().nullable(),
  error: z.object({ code: z.string(), message: z.string(), line: z.number().optional() }).optional(),
  createdAt: z.iso.datetime(),
  queuedAt: instant,
  startedAt: instant,
  finishedAt: instant,
  links: linksSchema,
});
export type ImportAnswer = z.infer<typeof importSchema>;

export const importListSchema = z.object({ items: z.array(importSchema), nextCursor: z.string().nullable() });

export const rejectSchema = z.object({
  line: z.number().describe('Physical line where the record starts; the first line of the file is 1.'),
  column: z.string().nullable(),
  code: z.string(),
  message: z.string(),
  raw: z.string().describe('The record as it stands in the file, at most 8 KiB.'),
});
export type RejectAnswer = z.infer<typeof rejectSchema>;

export const rejectListSchema = z.object({
  items: z.array(rejectSchema),
  nextCursor: z.string().nullable(),
  total: z.number().describe('All rejects, also those beyond the kept list.'),
  truncated: z.boolean().describe('More rows were rejected than the list keeps (100,000).'),
});

const STATUS_WORDS: readonly string[] = IMPORT_STATUSES;
const statusList = z
  .string()
  .transform((text) => text.split(','))
  .refine((words) => words.every((word) => STATUS_WORDS.includes(word)), `must be a comma list of ${IMPORT_STATUSES.join(', ')}`)
  // The check above is what makes them statuses.
  .transform((words) => words as (typeof IMPORT_STATUSES)[number][]);

/** Query of GET /v1/imports. */
export const importListQuery = z.strictObject({
  dataset: z.string().min(1).max(63).optional(),
  status: statusList.optional(),
  ...pageQuery,
});
export type ImportListQuery = z.infer<typeof importListQuery>;

/** Query of lists that take no filter. */
export const plainListQuery = z.strictObject({ ...pageQuery });
