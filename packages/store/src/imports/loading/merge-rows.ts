// Merges staged rows into a dataset's table by mode, in one statement each. Leaves transactions and what to do on errors to load-chunk.ts.
import { columnList, quoteIdentifier } from '../../datasets/dataset-table.ts';
import type { Queryable } from '../../database.ts';

export type MergeTarget = {
  /** Quoted, with its schema. */
  table: string;
  /** Columns that the rows bring, `_line` being the last. */
  names: readonly string[];
  key: readonly string[];
  importId: string;
  mode: 'insert' | 'upsert';
  /** Whether earlier rows of the same import may be in the table already. */
  hasEarlierRows: boolean;
};

/** `duplicates`: the lines of an insert whose key was taken, ascending. */
export type MergeResult = { inserted: number; updated: number; unchanged: number; superseded: number; duplicates: number[] };

/** A subquery of rows, and its parameters from $2 on. */
export type MergeSource = { sql: string; values: readonly unknown[] };

export async function mergeRows(on: Queryable, target: MergeTarget, source: MergeSource): Promise<MergeResult> {
  return target.mode === 'insert' ? insertRows(on, target, source) : upsertRows(on, target, source);
}

// Rows are inserted in the order of their lines, so of two with one key the first wins. Those that did not get in are found by their absence.
async function insertRows(on: Queryable, target: MergeTarget, source: MergeSource): Promise<MergeResult> {
  const names = columnList(target.names);
  const conflict = target.key.length === 0 ? '' : `ON CONFLICT (${columnList(target.key)}) DO NOTHING`;
  const result = await on.query<{ inserted: number; duplicates: number[] }>(
    `WITH loaded AS (
       INSERT INTO ${target.table} (${names}, "_import_id") SELECT ${names}, $1::uuid FROM ${source.sql} AS s ORDER BY "_line" ${conflict} RETURNING "_line"
     )
     SELECT (SELECT count(*)::int FROM loaded) AS inserted,
            (SELECT coalesce(json_agg("_line" ORDER BY "_line"), '[]') FROM (SELECT "_line" FROM ${source.sql} AS s EXCEPT ALL SELECT "_line" FROM loaded) AS missed) AS duplicates`,
    [target.importId, ...source.values],
  );
  const row = result.rows[0];
  return { inserted: row?.inserted ?? 0, updated: 0, unchanged: 0, superseded: 0, duplicates: row?.duplicates ?? [] };
}

/**
 * Of several lines with one key the last wins. A row that equals the one in the table is not rewritten. Where the row in the table came from an
 * earlier line of this same import, that line counts as superseded, and the key is not counted a second time.
 * Rows go in by key, so that two imports into one dataset take their locks in the same order.
 */
async function upsertRows(on: Queryable, target: MergeTarget, source: MergeSource): Promise<MergeResult> {
  const names = columnList(target.names);
  const key = columnList(target.key);
  const values = target.names.filter((name) => name !== '_line' && !target.key.includes(name));
  const own = target.hasEarlierRows
    ? `SELECT l."_line" FROM latest l JOIN ${target.table} t ON ${target.key.map((name) => `t.${quoteIdentifier(name)} = l.${quoteIdentifier(name)}`).join(' AND ')} WHERE t."_import_id" = $1`
    : 'SELECT NULL::bigint AS "_line" WHERE false';
  const result = await on.query<Omit<MergeResult, 'duplicates'>>(
    `WITH rows AS (SELECT * FROM ${source.sql} AS s),
     latest AS MATERIALIZED (SELECT DISTINCT ON (${key}) * FROM rows ORDER BY ${key}, "_line" DESC),
     own AS (${own}),
     merged AS (
       INSERT INTO ${target.table} AS t (${names}, "_import_id") SELECT ${names}, $1::uuid FROM latest ORDER BY ${key}
       ON CONFLICT (${key}) DO ${updateClause(values)} RETURNING t."_line", t.xmax = 0 AS is_new
     )
     SELECT count(*) FILTER (WHERE m.is_new)::int AS inserted,
            count(*) FILTER (WHERE NOT m.is_new AND o."_line" IS NULL)::int AS updated,
            count(*) FILTER (WHERE m."_line" IS NULL AND o."_line" IS NULL)::int AS unchanged,
            ((SELECT count(*) FROM rows) - count(*) + count(o."_line"))::int AS superseded
     FROM latest l LEFT JOIN merged m ON m."_line" = l."_line" LEFT JOIN own o ON o."_line" = l."_line"`,
    [target.importId, ...source.values],
  );
  const row = result.rows[0];
  if (row === undefined) throw new Error('the merge answered nothing');
  return { ...row, duplicates: [] };
}

// Columns that the file does not bring keep what they hold.
function updateClause(values: readonly string[]): string {
  if (values.length === 0) return 'NOTHING';
  const held = values.map((name) => `t.${quoteIdentifier(name)}`).join(', ');
  const brought = values.map((name) => `excluded.${quoteIdentifier(name)}`).join(', ');
  const set = [...values, '_line', '_import_id'].map((name) => `${quoteIdentifier(name)} = excluded.${quoteIdentifier(name)}`).join(', ');
  return `UPDATE SET ${set} WHERE (${held}) IS DISTINCT FROM (${brought})`;
}
