// The rows that an import brought in, page by page, for flows that work on imported data. No transaction stays open between pages.
import type { Database } from '../database.ts';
import { columnList, columnType, quoteIdentifier, tableName, textExpression } from '../datasets/dataset-table.ts';
import { orderColumns, shownColumns } from '../datasets/dataset-rows.ts';
import type { StoredDataset } from '../datasets/read-dataset.ts';
import { readImportDataset } from './accept-content.ts';
import { readImport } from './read-import.ts';
import type { StoredImport } from './stored-import.ts';

export type TextRow = Record<string, string | null>;

/** As the sdk's ImportedRows. */
export type ImportedRows = {
  dataset: string;
  columns: { name: string; type: string }[];
  rowCount: number;
  batches(): AsyncIterable<TextRow[]>;
};

const PAGE_ROWS = 1_000;
/** Lines looked at per query of an insert's rows: the origin index finds pages by range, so a query must say where it ends. */
const WINDOW_LINES = 5_000;

/**
 * An insert's rows in the order of the file, or, after an upsert, the whole dataset in the order of its key.
 * Undefined when there is no such import in this workspace, it has not completed, or its dataset is gone.
 */
export async function openImported(
  database: Pick<Database, 'main'>,
  target: { importId: string; workspace: string },
): Promise<ImportedRows | undefined> {
  const found = await readImport(database.main, target);
  if (found?.status !== 'completed') return undefined;
  const dataset = await readImportDataset(database.main, found);
  if (dataset === undefined) return undefined;
  const shown = shownColumns(dataset);
  const common = { dataset: dataset.name, columns: shown.map(({ name, type }) => ({ name, type })) };
  return found.mode === 'insert' ? openInserted(database, { found, dataset, common }) : openWhole(database, { dataset, common });
}

type Common = Pick<ImportedRows, 'dataset' | 'columns'>;

async function openInserted(
  database: Pick<Database, 'main'>,
  { found, dataset, common }: { found: StoredImport; dataset: StoredDataset; common: Common },
): Promise<ImportedRows> {
  const table = tableName(dataset);
  const span = await database.main.query<{ count: number; first: number | null; last: number | null }>(
    `SELECT count(*)::float8 AS count, min("_line")::float8 AS first, max("_line")::float8 AS last FROM ${table} WHERE "_import_id" = $1`,
    [found.id],
  );
  const { count = 0, first = null, last = null } = span.rows[0] ?? {};
  const text = `SELECT ${textColumns(dataset)} FROM ${table} AS _table WHERE "_import_id" = $1 AND "_line" >= $2 AND "_line" < $3 ORDER BY "_line"`;
  async function* batches(): AsyncGenerator<TextRow[], void, undefined> {
    if (first === null || last === null) return;
    for (let line = first; line <= last; line += WINDOW_LINES) {
      const { rows } = await database.main.query<TextRow>(text, [found.id, line, line + WINDOW_LINES]);
      for (let from = 0; from < rows.length; from += PAGE_ROWS) yield rows.slice(from, from + PAGE_ROWS);
    }
  }
  return { ...common, rowCount: count, batches };
}

async function openWhole(
  database: Pick<Database, 'main'>,
  { dataset, common }: { dataset: StoredDataset; common: Common },
): Promise<ImportedRows> {
  const table = tableName(dataset);
  const counted = await database.main.query<{ count: number }>(`SELECT count(*)::float8 AS count FROM ${table}`);
  const order = orderColumns(dataset);
  const names = columnList(order.map(({ name }) => name));
  const position = `ARRAY[${order.map(({ name }) => `_table.${quoteIdentifier(name)}::text`).join(', ')}] AS "_position"`;
  const parameters = order.map((column, index) => `$${index + 2}::${columnType(column).replace(' COLLATE "C"', '')}`).join(', ');
  const orderBy = order.map(({ name }) => `_table.${quoteIdentifier(name)}`).join(', ');
  async function* batches(): AsyncGenerator<TextRow[], void, undefined> {
    let after: string[] | undefined;
    for (;;) {
      const where = after === undefined ? '' : `WHERE (${names}) > (${parameters})`;
      const { rows } = await database.main.query<TextRow & { _position: string[] }>(
        `SELECT ${textColumns(dataset)}, ${position} FROM ${table} AS _table ${where} ORDER BY ${orderBy} LIMIT $1`,
        [PAGE_ROWS, ...(after ?? [])],
      );
      after = rows.at(-1)?._position;
      if (rows.length > 0) yield rows.map(({ _position, ...row }) => row as TextRow);
      if (rows.length < PAGE_ROWS) return;
    }
  }
  return { ...common, rowCount: counted.rows[0]?.count ?? 0, batches };
}

function textColumns(dataset: StoredDataset): string {
  return shownColumns(dataset)
    .map((column) => `${textExpression(column)} AS ${quoteIdentifier(column.name)}`)
    .join(', ');
}
