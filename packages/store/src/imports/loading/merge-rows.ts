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
 * Of several lines with one key the last wins. A row that equals the one in the table is neither rewritten nor locked. Where the row in the
 * table came from an earlier line of this same import, that line counts as superseded, and the key is not counted a second time.
 * Rows go in by key, so that two imports into one dataset take their locks in the same order.
 */
async function upsertRows(on: Queryable, target: MergeTarget, source: MergeSource): Promise<MergeResult> {
  const names = columnList(target.names);
  const key = columnList(target.key);
  const values = target.names.filter((name) => name !== '_line' && !target.key.includes(name));
  const sameKey = target.key.map((name) => `t.${quoteIdentifier(name)} = l.${quoteIdentifier(name)}`).join(' AND ');
  const differs = values.length === 0 ? 'false' : `(${prefixed('t', values)}) IS DISTINCT FROM (${prefixed('l', values)})`;
  // Every chunk looks up its own rows by the key; the planner, which knows nothing of the session table, would read all of a big dataset instead.
  await on.query('SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off');
  const result = await on.query<Omit<MergeResult, 'duplicates'>>(
    `WITH latest AS (SELECT DISTINCT ON (${key}) * FROM ${source.sql} AS s ORDER BY ${key}, "_line" DESC),
     judged AS MATERIALIZED (
       SELECT l.*, t."_import_id" IS NOT NULL AS "_exists", coalesce(t."_import_id" = $1, false) AS "_own", ${differs} AS "_differs"
       FROM latest l LEFT JOIN ${target.table} t ON ${sameKey}
     ),
     merged AS (
       INSERT INTO ${target.table} AS t (${names}, "_import_id") SELECT ${names}, $1::uuid FROM judged WHERE "_differs" OR NOT "_exists" ORDER BY ${key}
       ON CONFLICT (${key}) DO ${updateClause(values)} RETURNING t.xmax = 0 AS is_new
     )
     SELECT m.inserted, m.written - m.inserted - j.own_changed AS updated, j.unchanged, ((SELECT count(*) FROM ${source.sql} AS s) - j.total + j.own)::int AS superseded
     FROM (SELECT count(*)::int AS written, (count(*) FILTER (WHERE is_new))::int AS inserted FROM merged) AS m,
          (SELECT count(*)::int AS total, (count(*) FILTER (WHERE "_own"))::int AS own, (count(*) FILTER (WHERE "_own" AND "_differs"))::int AS own_changed,
                  (count(*) FILTER (WHERE "_exists" AND NOT "_differs" AND NOT "_own"))::int AS unchanged FROM judged) AS j`,
    [target.importId, ...source.values],
  );
  const row = result.rows[0];
  if (row === undefined) throw new Error('the merge answered nothing');
  return { ...row, duplicates: [] };
}

function prefixed(alias: string, names: readonly string[]): string {
  return names.map((name) => `${alias}.${quoteIdentifier(name)}`).join(', ');
}

// Columns that the file does not bring keep what they hold. What another import wrote since we looked is overwritten: it came before.
function updateClause(values: readonly string[]): string {
  if (values.length === 0) return 'NOTHING';
  return `UPDATE SET ${[...values, '_line', '_import_id'].map((name) => `${quoteIdentifier(name)} = excluded.${quoteIdentifier(name)}`).join(', ')}`;
}
