// Creates a dataset with its table, or evolves it: optional columns may be added and rules changed, types, key and names stay.
import { AppError, newId, type DatasetBody, type DatasetColumn } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import { lockDataset } from './dataset-lock.ts';
import { addColumnsSql, createTableSql } from './dataset-table.ts';
import { DATASET_COLUMNS, type StoredDataset } from './read-dataset.ts';

export type DatasetChange = { workspace: string; name: string; createdBy: string; definition: DatasetBody };

export type PutDatasetOutcome = { created: boolean; dataset: StoredDataset };

/**
 * New rules of a column (required, bounds, pattern, aliases …) hold for rows imported from then on.
 * @throws AppError invalid-state (409) when a column would be removed or change its type, the key would change, or a new column is required
 */
export async function putDataset(database: Pick<Database, 'transaction'>, change: DatasetChange): Promise<PutDatasetOutcome> {
  return database.transaction(async (client) => {
    const existing = await lockDataset(client, change);
    if (existing === undefined) return { created: true, dataset: await createDataset(client, change) };
    return { created: false, dataset: await evolveDataset(client, existing, change.definition) };
  });
}

async function createDataset(on: Queryable, { workspace, name, createdBy, definition }: DatasetChange): Promise<StoredDataset> {
  const id = newId();
  for (const statement of createTableSql({ id, workspace, name, ...definition })) await on.query(statement);
  const result = await on.query<StoredDataset>(
    `INSERT INTO millrace.datasets (id, workspace, name, columns, key, created_by) VALUES ($1, $2, $3, $4, $5, $6) RETURNING ${DATASET_COLUMNS}`,
    [id, workspace, name, JSON.stringify(definition.columns), definition.key, createdBy],
  );
  return only(result.rows);
}

async function evolveDataset(on: Queryable, existing: StoredDataset, definition: DatasetBody): Promise<StoredDataset> {
  const refusal = evolutionFault(existing, definition);
  if (refusal !== null) throw new AppError('invalid-state', { detail: refusal });
  const added = definition.columns.filter((column) => existing.columns.every(({ name }) => name !== column.name));
  if (added.length > 0) await on.query(addColumnsSql(existing, added));
  const result = await on.query<StoredDataset>(
    `UPDATE millrace.datasets SET columns = $2, updated_at = CASE WHEN columns = $2 THEN updated_at ELSE now() END WHERE id = $1 RETURNING ${DATASET_COLUMNS}`,
    [existing.id, JSON.stringify(definition.columns)],
  );
  return only(result.rows);
}

/** Why a definition cannot follow the existing one, or null. */
export function evolutionFault(existing: Pick<StoredDataset, 'columns' | 'key'>, next: DatasetBody): string | null {
  if (existing.key.join() !== next.key.join()) return 'The key of a dataset cannot be changed.';
  const byName = new Map<string, DatasetColumn>(next.columns.map((column) => [column.name, column]));
  for (const column of existing.columns) {
    const wanted = byName.get(column.name);
    if (wanted === undefined) return `The column ${column.name} cannot be removed.`;
    if (wanted.type !== column.type) return `The type of the column ${column.name} cannot be changed.`;
    byName.delete(column.name);
  }
  const required = [...byName.values()].find((column) => column.required === true);
  return required === undefined ? null : `The new column ${required.name} cannot be required: rows that exist have no value for it.`;
}

function only(rows: readonly StoredDataset[]): StoredDataset {
  const [row] = rows;
  if (row === undefined) throw new Error('the dataset was not returned');
  return row;
}
