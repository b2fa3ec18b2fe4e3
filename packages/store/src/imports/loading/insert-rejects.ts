// Keeps rejected rows, many in one statement.
import type { Queryable } from '../../database.ts';

export type NewReject = { line: number; column: string | null; code: string; message: string; raw: string };

/** The list of an import's rejects is cut here; the count is not. */
export const REJECTS_KEPT_MAX = 100_000;

export async function insertRejects(
  on: Queryable,
  owner: { importId: string; workspace: string },
  rejects: readonly NewReject[],
): Promise<void> {
  if (rejects.length === 0) return;
  await on.query({
    name: 'insert-rejects',
    text: `
INSERT INTO millrace.import_rejects (import_id, workspace, line, column_name, code, message, raw)
SELECT $1, $2, r.* FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[]) AS r`,
    values: [
      owner.importId,
      owner.workspace,
      rejects.map((reject) => reject.line),
      rejects.map((reject) => reject.column),
      rejects.map((reject) => reject.code),
      rejects.map((reject) => reject.message),
      rejects.map((reject) => reject.raw),
    ],
  });
}
