// Reads dataset definitions.
import type { DatasetColumn } from '@millrace/shared';
import type { Queryable } from '../database.ts';

export type StoredDataset = {
  id: string;
  workspace: string;
  name: string;
  columns: DatasetColumn[];
  key: string[];
  /** The table has the column `extra`. */
  has_extra: boolean;
  created_at: Date;
  updated_at: Date;
};

export const DATASET_COLUMNS = 'id, workspace, name, columns, key, has_extra, created_at, updated_at';

export async function readDataset(on: Queryable, target: { workspace: string; name: string }): Promise<StoredDataset | undefined> {
  const result = await on.query<StoredDataset>({
    name: 'read-dataset',
    text: `SELECT ${DATASET_COLUMNS} FROM millrace.datasets WHERE workspace = $1 AND name = $2`,
    values: [target.workspace, target.name],
  });
  return result.rows[0];
}

/** By name, ascending. `after`: names later than this one. */
export async function listDatasets(
  on: Queryable,
  page: { workspace: string; after: string | null; limit: number },
): Promise<StoredDataset[]> {
  const result = await on.query<StoredDataset>({
    name: 'list-datasets',
    text: `SELECT ${DATASET_COLUMNS} FROM millrace.datasets WHERE workspace = $1 AND ($2::text IS NULL OR name > $2) ORDER BY name LIMIT $3`,
    values: [page.workspace, page.after, page.limit],
  });
  return result.rows;
}
