// Workspaces as rows: which there are, and the share of each in what the workers do. A workspace is made with its first key.
import type { Queryable } from '../database.ts';

export type StoredWorkspace = { name: string; weight: number; created_at: Date };

const COLUMNS = 'name, weight, created_at';
/** Others count as 1. */
const WEIGHTED_MAX = 10_000;

/** At most `limit` in the order of their names, those after `after`; `only`: no other than this. */
export async function listWorkspaces(
  on: Queryable,
  { after, only, limit }: { after: string | null; only: string | null; limit: number },
): Promise<StoredWorkspace[]> {
  const result = await on.query<StoredWorkspace>({
    name: 'list-workspaces',
    text: `SELECT ${COLUMNS} FROM millrace.workspaces WHERE ($1::text IS NULL OR name > $1) AND ($2::text IS NULL OR name = $2) ORDER BY name LIMIT $3`,
    values: [after, only, limit],
  });
  return result.rows;
}

/** Changes the share of a workspace, 1 to 100. Undefined when there is no such workspace. */
export async function setWeight(on: Queryable, { name, weight }: { name: string; weight: number }): Promise<StoredWorkspace | undefined> {
  const result = await on.query<StoredWorkspace>({
    name: 'set-weight',
    text: `UPDATE millrace.workspaces SET weight = $2 WHERE name = $1 RETURNING ${COLUMNS}`,
    values: [name, weight],
  });
  return result.rows[0];
}

/** The shares that are not 1, by workspace. */
export async function readWeights(on: Queryable): Promise<Map<string, number>> {
  const result = await on.query<{ name: string; weight: number }>({
    name: 'read-weights',
    text: `SELECT name, weight FROM millrace.workspaces WHERE weight <> 1 ORDER BY weight DESC LIMIT ${WEIGHTED_MAX}`,
  });
  return new Map(result.rows.map(({ name, weight }) => [name, weight]));
}
