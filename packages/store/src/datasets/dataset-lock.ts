// One change of a dataset's definition at a time, whichever process makes it.
import type { Queryable } from '../database.ts';
import { DATASET_COLUMNS, type StoredDataset } from './read-dataset.ts';

/** First half of the advisory lock's key; the second is a hash of the dataset's name. Nothing else in the database uses it. */
const DATASET_LOCK_CLASS = 726_631;

/** Holds the definition of a dataset until the transaction ends, also while there is no such dataset yet, and answers it. */
export async function lockDataset(on: Queryable, target: { workspace: string; name: string }): Promise<StoredDataset | undefined> {
  // The schema is shared by the workspace's datasets, and CREATE SCHEMA IF NOT EXISTS is not safe against itself: one lock per workspace.
  await on.query('SELECT pg_advisory_xact_lock($1, hashtext($2))', [DATASET_LOCK_CLASS, target.workspace]);
  const result = await on.query<StoredDataset>(
    `SELECT ${DATASET_COLUMNS} FROM millrace.datasets WHERE workspace = $1 AND name = $2 FOR UPDATE`,
    [target.workspace, target.name],
  );
  return result.rows[0];
}
