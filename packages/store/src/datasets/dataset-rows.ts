// Reads the rows of a dataset: pages of JSON by keyset, and the whole of it as CSV straight out of COPY.
import type { Readable } from 'node:stream';
import type { DatasetColumn } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import { copyOut } from './copy-out.ts';
import {
  columnList,
  columnType,
  defusedExpression,
  isFreeText,
  jsonExpression,
  quoteIdentifier,
  tableName,
  textExpression,
} from './dataset-table.ts';
import type { StoredDataset } from './read-dataset.ts';

/** `json`: each row as JSON text, because numbers in json columns would lose digits in JavaScript. `position`: where the next page begins. */
export type RowsPage = { json: string[]; position: string[] | null };

const ORIGIN_COLUMNS = [
  { name: '_import_id', type: 'uuid' },
  { name: '_line', type: 'bigint' },
] as const;

type OrderColumn = Pick<DatasetColumn, 'name' | 'type'>;

/** Up to `limit` rows in the order of the key, or of their origin where there is no key. @param after the `position` of the page before. */
export async function readRows(
  on: Queryable,
  dataset: StoredDataset,
  page: { after: readonly string[] | null; limit: number },
): Promise<RowsPage> {
  const order = orderColumns(dataset);
  const names = columnList(order.map(({ name }) => name));
  const columns = shownColumns(dataset).map((column) => `${jsonExpression(column)} AS ${quoteIdentifier(column.name)}`);
  const where =
    page.after === null ? '' : `WHERE (${names}) > (${order.map((column, index) => `$${index + 2}::${parameterType(column)}`).join(', ')})`;
  const position = `ARRAY[${order.map(({ name }) => `${quoteIdentifier(name)}::text`).join(', ')}]`;
  const result = await on.query<{ json: string; position: string[] }>(
    // Aliases begin with an underscore, which no column does: a column's name would go before an alias.
    `SELECT _page._position AS position, (SELECT row_to_json(_row) FROM (SELECT ${columns.join(', ')} FROM (SELECT _page.*) AS _one) AS _row)::text AS json
     FROM (SELECT *, ${position} AS _position FROM ${tableName(dataset)} ${where} ORDER BY ${names} LIMIT $1) AS _page ORDER BY ${names}`,
    [page.limit + 1, ...(page.after ?? [])],
  );
  const rows = result.rows.slice(0, page.limit);
  return { json: rows.map((row) => row.json), position: result.rows.length > page.limit ? (rows.at(-1)?.position ?? null) : null };
}

// A collation cannot stand in a cast.
function parameterType(column: OrderColumn): string {
  return column.type === 'text' || column.type === 'enum' ? 'text' : columnType(column);
}

/** The columns that order rows, without two rows being equal. */
export function orderColumns(dataset: Pick<StoredDataset, 'columns' | 'key'>): readonly OrderColumn[] {
  if (dataset.key.length === 0) return ORIGIN_COLUMNS;
  return dataset.key.flatMap((name) => dataset.columns.find((column) => column.name === name) ?? []);
}

/** The dataset's columns, and `extra` where it has been kept. */
export function shownColumns(dataset: Pick<StoredDataset, 'columns' | 'has_extra'>): DatasetColumn[] {
  return dataset.has_extra ? [...dataset.columns, { name: 'extra', type: 'json' }] : [...dataset.columns];
}

/** The whole dataset as CSV with a header, in the order of the key; cells that a spreadsheet would run are defused. */
export async function exportRows(database: Pick<Database, 'long'>, dataset: StoredDataset): Promise<Readable> {
  const columns = shownColumns(dataset).map((column) => {
    const text = textExpression(column);
    return `${isFreeText(column) ? defusedExpression(text) : text} AS ${quoteIdentifier(column.name)}`;
  });
  // Qualified: a bare name would mean the text made above.
  const order = orderColumns(dataset).map(({ name }) => `_table.${quoteIdentifier(name)}`);
  return copyOut(database, `SELECT ${columns.join(', ')} FROM ${tableName(dataset)} AS _table ORDER BY ${order.join(', ')}`);
}
