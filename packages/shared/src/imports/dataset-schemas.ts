// The REST shapes of datasets: what a client may send, what it gets back, and the rules a definition must keep.
// Whether a pattern is valid RE2 and whether the dataset may become this is left to those who keep it.
import { z } from 'zod';

/** The name of a dataset or of one of its columns: a PostgreSQL identifier that needs no folding. */
const NAME_PATTERN = /^[a-z][a-z0-9_]{0,62}$/;

/** Names PostgreSQL keeps for itself in every table, and ours for kept unknown columns. */
const RESERVED_COLUMNS: ReadonlySet<string> = new Set(['extra', 'ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid']);

/** Far below PostgreSQL's 1,600, so that hidden columns always fit. */
const COLUMNS_MAX = 1_000;
/** PostgreSQL's limit on the columns of an index. */
const KEY_COLUMNS_MAX = 32;

export const COLUMN_TYPES = [
  'text',
  'integer',
  'bigint',
  'numeric',
  'double',
  'boolean',
  'date',
  'timestamptz',
  'uuid',
  'inet',
  'json',
  'enum',
] as const;
export type DatasetColumnType = (typeof COLUMN_TYPES)[number];

const ORDERED_TYPES: readonly DatasetColumnType[] = ['integer', 'bigint', 'numeric', 'double', 'date', 'timestamptz'];
const NUMBER_TYPES: readonly DatasetColumnType[] = ['integer', 'bigint', 'numeric', 'double'];
const DECIMAL_PATTERN = /^[+-]?\d+(?:\.\d+)?$/;
const DATE_PATTERN = /^\d{4}-\d{2}-\d{2}$/;
const INSTANT_PATTERN = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?$/;

export const datasetNameSchema = z
  .string()
  .regex(NAME_PATTERN, 'must be 1 to 63 lower-case letters, digits and underscores, beginning with a letter');

const bound = z.union([z.number(), z.string().min(1).max(100)]);

export const datasetColumnSchema = z
  .strictObject({
    name: datasetNameSchema.refine((name) => !RESERVED_COLUMNS.has(name), 'is a reserved name'),
    type: z.enum(COLUMN_TYPES),
    required: z.boolean().optional().describe('A null is rejected. Columns of the key are always required.'),
    min: bound.optional().describe('Inclusive. A string keeps more than 15 digits exact.'),
    max: bound.optional(),
    maxLength: z.int().min(1).max(1_000_000_000).optional().describe('In Unicode code points.'),
    pattern: z.string().min(1).max(1_000).optional().describe('RE2 syntax, found anywhere unless anchored.'),
    values: z.array(z.string().max(1_000)).min(1).max(10_000).optional(),
    aliases: z.array(z.string().min(1).max(200)).max(100).optional().describe('Other names of the column in files.'),
  })
  .superRefine((column, context) => {
    for (const fault of columnFaults(column)) context.addIssue({ code: 'custom', path: [fault.field], message: fault.message });
  });
export type DatasetColumn = z.infer<typeof datasetColumnSchema>;

type ColumnFault = { field: keyof DatasetColumn; message: string };
type ColumnRules = { [Name in keyof DatasetColumn]?: DatasetColumn[Name] } & { type: DatasetColumnType };

// A rule that its type cannot have would be kept and never looked at, so it is refused.
function columnFaults(column: ColumnRules): ColumnFault[] {
  const faults: ColumnFault[] = [];
  const isText = column.type === 'text';
  if (column.type === 'enum' && column.values === undefined) faults.push({ field: 'values', message: 'is required for an enum' });
  if (column.values !== undefined && !isText && column.type !== 'enum')
    faults.push({ field: 'values', message: 'is for enum and text only' });
  if (column.maxLength !== undefined && !isText) faults.push({ field: 'maxLength', message: 'is for text only' });
  if (column.pattern !== undefined && !isText) faults.push({ field: 'pattern', message: 'is for text only' });
  for (const field of ['min', 'max'] as const) {
    const fault = boundFault(column.type, column[field]);
    if (fault !== null) faults.push({ field, message: fault });
  }
  if (faults.length === 0 && column.min !== undefined && column.max !== undefined && isAbove(column.type, column.min, column.max))
    faults.push({ field: 'max', message: 'must not be below min' });
  return faults;
}

// To the precision of JavaScript's numbers: bounds that differ only beyond it are let through.
function isAbove(type: DatasetColumnType, min: number | string, max: number | string): boolean {
  return NUMBER_TYPES.includes(type) ? Number(min) > Number(max) : Date.parse(String(min)) > Date.parse(String(max));
}

function boundFault(type: DatasetColumnType, value: number | string | undefined): string | null {
  if (value === undefined) return null;
  if (!ORDERED_TYPES.includes(type)) return 'is for numbers, dates and timestamps only';
  if (NUMBER_TYPES.includes(type)) return typeof value === 'number' || DECIMAL_PATTERN.test(value) ? null : 'must be a number';
  const pattern = type === 'date' ? DATE_PATTERN : INSTANT_PATTERN;
  return typeof value === 'string' && pattern.test(value) && !Number.isNaN(Date.parse(value)) ? null : `must be a ${type} as text`;
}

export const datasetBodySchema = z
  .strictObject({
    columns: z.array(datasetColumnSchema).min(1).max(COLUMNS_MAX),
    key: z
      .array(z.string())
      .max(KEY_COLUMNS_MAX)
      .default([])
      .describe('Columns that identify a row. Without a key rows can only be inserted.'),
  })
  .superRefine(({ columns, key }, context) => {
    const seen = new Set<string>();
    for (const [index, { name }] of columns.entries()) {
      if (seen.has(name)) context.addIssue({ code: 'custom', path: ['columns', index, 'name'], message: 'names a column twice' });
      seen.add(name);
    }
    for (const [index, name] of key.entries()) {
      const column = columns.find((candidate) => candidate.name === name);
      const problem =
        column === undefined
          ? 'is not a column'
          : column.type === 'json'
            ? 'cannot be part of a key'
            : key.indexOf(name) < index
              ? 'is named twice'
              : null;
      if (problem !== null) context.addIssue({ code: 'custom', path: ['key', index], message: problem });
    }
  });
export type DatasetBody = z.infer<typeof datasetBodySchema>;

export const datasetSchema = z.object({
  name: z.string(),
  columns: z.array(datasetColumnSchema),
  key: z.array(z.string()),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
  links: z.object({ self: z.string(), rows: z.string(), imports: z.string() }),
});
export type DatasetAnswer = z.infer<typeof datasetSchema>;

export const datasetListSchema = z.object({ items: z.array(datasetSchema), nextCursor: z.string().nullable() });

export const datasetRowsSchema = z.object({
  items: z
    .array(z.record(z.string(), z.unknown()))
    .describe('Objects by column; bigint and numeric are strings, dates YYYY-MM-DD, timestamps RFC 3339 UTC.'),
  nextCursor: z.string().nullable(),
});
