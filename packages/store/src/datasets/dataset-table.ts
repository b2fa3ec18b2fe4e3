// The table behind a dataset: its name, its columns and the SQL that makes and reads it. Every identifier is quoted, always.
// Pure: running the SQL is left to the files beside.
import type { DatasetColumn } from '@millrace/shared';

/** What the table of a dataset is made from. */
export type TableShape = { id: string; workspace: string; name: string; columns: readonly DatasetColumn[]; key: readonly string[] };

const SQL_TYPES: Readonly<Record<DatasetColumn['type'], string>> = {
  // "C" orders by bytes: the same on every system, and the fastest to compare.
  text: 'text COLLATE "C"',
  enum: 'text COLLATE "C"',
  integer: 'integer',
  bigint: 'bigint',
  numeric: 'numeric',
  double: 'double precision',
  boolean: 'boolean',
  date: 'date',
  timestamptz: 'timestamptz',
  uuid: 'uuid',
  inet: 'inet',
  json: 'jsonb',
};

/** The session setting that fills `_import_id` of rows copied straight into a dataset's table. */
export const IMPORT_ID_SETTING = 'millrace.import_id';

export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function schemaName(workspace: string): string {
  return quoteIdentifier(`data_${workspace}`);
}

export function tableName({ workspace, name }: { workspace: string; name: string }): string {
  return `${schemaName(workspace)}.${quoteIdentifier(name)}`;
}

export function columnType(column: Pick<DatasetColumn, 'type'>): string {
  return SQL_TYPES[column.type];
}

/** Names of the columns, quoted and separated by commas. */
export function columnList(names: readonly string[]): string {
  return names.map((name) => quoteIdentifier(name)).join(', ');
}

// Begin with an underscore, which no dataset does, so that an index never takes the name of a table to come.
function indexName(prefix: '_key' | '_origin', id: string): string {
  return quoteIdentifier(`${prefix}_${id.replaceAll('-', '')}`);
}

/**
 * The statements that create a dataset's table. With a key: its primary key, and a BRIN index over where rows came from, which costs a tenth
 * of what a B-tree would while rows are appended in the order of the file; each import brings it up to date once, at its end. Without a
 * key: origin is the key.
 */
export function createTableSql(shape: TableShape): string[] {
  const columns = shape.columns.map((column) => `${quoteIdentifier(column.name)} ${columnType(column)}`);
  const hidden = [`"_import_id" uuid NOT NULL DEFAULT current_setting('${IMPORT_ID_SETTING}')::uuid`, '"_line" bigint NOT NULL'];
  const keyColumns = shape.key.length === 0 ? '"_import_id", "_line"' : columnList(shape.key);
  const table = tableName(shape);
  const create = `CREATE TABLE ${table} (${[...columns, ...hidden, `CONSTRAINT ${indexName('_key', shape.id)} PRIMARY KEY (${keyColumns})`].join(', ')})`;
  const origin = `CREATE INDEX ${indexName('_origin', shape.id)} ON ${table} USING brin ("_import_id", "_line") WITH (pages_per_range = 32, autosummarize = off)`;
  return [`CREATE SCHEMA IF NOT EXISTS ${schemaName(shape.workspace)}`, create, ...(shape.key.length === 0 ? [] : [origin])];
}

/** Brings the origin index up to date with what an import appended; without it, scans look at every page it has not seen. */
export function summarizeOriginSql(shape: Pick<TableShape, 'id' | 'workspace' | 'key'>): string | null {
  if (shape.key.length === 0) return null;
  return `SELECT brin_summarize_new_values('${schemaName(shape.workspace)}.${indexName('_origin', shape.id)}'::regclass)`;
}

/** The one statement that adds columns to an existing table; instant, because they have no default. */
export function addColumnsSql(dataset: { workspace: string; name: string }, columns: readonly DatasetColumn[]): string {
  return `ALTER TABLE ${tableName(dataset)} ${columns.map((column) => `ADD COLUMN ${quoteIdentifier(column.name)} ${columnType(column)}`).join(', ')}`;
}

/** An expression for the value of a column as clients read it in JSON; bigint and numeric as text, so that no digit is lost. */
export function jsonExpression({ name, type }: DatasetColumn): string {
  const column = quoteIdentifier(name);
  if (type === 'bigint' || type === 'numeric') return `${column}::text`;
  return type === 'timestamptz' ? instantExpression(column) : column;
}

/** An expression for the value of a column as text or null: what CSV holds and what flows read. */
export function textExpression({ name, type }: DatasetColumn): string {
  const column = quoteIdentifier(name);
  if (type === 'timestamptz') return instantExpression(column);
  return type === 'text' || type === 'enum' ? column : `${column}::text`;
}

/** True for columns whose text a spreadsheet could take for a formula. */
export function isFreeText({ type }: Pick<DatasetColumn, 'type'>): boolean {
  return type === 'text' || type === 'enum' || type === 'json';
}

// RFC 3339 in UTC with milliseconds, and with microseconds only where there are any.
function instantExpression(column: string): string {
  return `regexp_replace(to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '000Z$', 'Z')`;
}

/**
 * An expression that puts an apostrophe before text that a spreadsheet would run; plain numbers stay as they are.
 * The same rule as tabular's defuseFormula, in SQL, so that whole tables stream without passing through JavaScript.
 */
export function defusedExpression(text: string): string {
  return `CASE WHEN ${text} ~ '^[-=+@\\t\\r]' AND ${text} !~ '^[-+]?(\\d+\\.?\\d*|\\.\\d+)([eE][-+]?\\d+)?$' THEN '''' || ${text} ELSE ${text} END`;
}
