// Which spooled files are still needed, and what is to be done once an import has loaded its last row.
import type { Database, Queryable } from '../database.ts';
import { summarizeOriginSql } from '../datasets/dataset-table.ts';

/** Those of the given files that an import still refers to. */
export async function keptContent(on: Queryable, refs: readonly string[]): Promise<Set<string>> {
  if (refs.length === 0) return new Set();
  const result = await on.query<{ content_ref: string }>('SELECT content_ref FROM millrace.imports WHERE content_ref = ANY($1)', [refs]);
  return new Set(result.rows.map((row) => row.content_ref));
}

/** Brings the dataset's origin index up to date. Best effort: only speed depends on it. */
export async function finishImport(
  database: Pick<Database, 'long'>,
  chunk: { workspace: string; datasetId: string; plan: { key: string[] } },
): Promise<void> {
  const sql = summarizeOriginSql({ id: chunk.datasetId, workspace: chunk.workspace, key: chunk.plan.key });
  if (sql !== null) await database.long.query(sql);
}
