// Reads the rejects of an import: pages, and the whole list as CSV.
import type { Readable } from 'node:stream';
import { AppError, isUuid } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import { copyOut } from '../datasets/copy-out.ts';
import { defusedExpression } from '../datasets/dataset-table.ts';

export type StoredReject = { line: number; column: string | null; code: string; message: string; raw: string };

/** By line, ascending. The caller has made sure that the import is of the workspace. @param page.after lines later than this one */
export async function readRejects(on: Queryable, page: { importId: string; after: number; limit: number }): Promise<StoredReject[]> {
  const result = await on.query<StoredReject>({
    name: 'read-rejects',
    text: 'SELECT line::float8 AS line, column_name AS "column", code, message, raw FROM millrace.import_rejects WHERE import_id = $1 AND line > $2 ORDER BY line LIMIT $3',
    values: [page.importId, page.after, page.limit],
  });
  return result.rows;
}

/** All kept rejects by line; cells that a spreadsheet would run are defused. */
export async function exportRejects(database: Pick<Database, 'long'>, importId: string): Promise<Readable> {
  // COPY takes no parameters, so the id stands in the text; it is one only if it looks like one.
  if (!isUuid(importId)) throw new AppError('not-found');
  const [column, message, raw] = [defusedExpression('column_name'), defusedExpression('message'), defusedExpression('raw')];
  return copyOut(
    database,
    `SELECT line, ${column} AS "column", code, ${message} AS message, ${raw} AS raw FROM millrace.import_rejects WHERE import_id = '${importId}' ORDER BY line`,
  );
}
