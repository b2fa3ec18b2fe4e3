// Session tables that rows pass through on their way into a dataset. They write no log and are empty again at every commit.
import { createHash } from 'node:crypto';
import type { DatasetColumn } from '@millrace/shared';
import { columnList, columnType, quoteIdentifier } from '../../datasets/dataset-table.ts';

/** `typed`: columns as in the dataset. `text`: takes anything, so that bad values show when single rows are cast, not in COPY. */
export type StageKind = 'typed' | 'text';

export type Stage = {
  name: string;
  createSql: string;
  copySql: string;
  /** What a merge reads from: rows with the types of the dataset, `_line` included. */
  source: string;
  /** The same for the lines from $2 to $3. */
  rangeSource: string;
  /** The same for all lines but those in the array $2. */
  remainingSource: string;
};

/** @param names the columns of the COPY text in order, `_line` being the last */
export function stageTable(kind: StageKind, names: readonly string[], columns: readonly DatasetColumn[]): Stage {
  const typeOf = (name: string) => sqlTypeOf(name, columns);
  const definition = names
    .map((name) => `${quoteIdentifier(name)} ${kind === 'text' && name !== '_line' ? 'text' : typeOf(name)}`)
    .join(', ');
  const key = kind === 'text' ? ', PRIMARY KEY ("_line")' : '';
  // One connection serves many datasets, so the name tells their shapes apart.
  const name = `pg_temp.${quoteIdentifier(`_stage_${createHash('sha256').update(definition).digest('hex').slice(0, 24)}`)}`;
  const cast = names
    .map((column) => `${quoteIdentifier(column)}::${typeOf(column).replace(' COLLATE "C"', '')} AS ${quoteIdentifier(column)}`)
    .join(', ');
  const from = kind === 'text' ? `SELECT ${cast} FROM ${name}` : `SELECT * FROM ${name}`;
  return {
    name,
    createSql: `CREATE TEMP TABLE IF NOT EXISTS ${name.slice('pg_temp.'.length)} (${definition}${key}) ON COMMIT DELETE ROWS`,
    copySql: `COPY ${name} (${columnList(names)}) FROM STDIN`,
    source: `(${from})`,
    rangeSource: `(${from} WHERE "_line" BETWEEN $2 AND $3)`,
    remainingSource: `(${from} WHERE NOT "_line" = ANY($2::bigint[]))`,
  };
}

function sqlTypeOf(name: string, columns: readonly DatasetColumn[]): string {
  if (name === '_line') return 'bigint';
  if (name === 'extra') return 'jsonb';
  const column = columns.find((candidate) => candidate.name === name);
  if (column === undefined) throw new Error(`the dataset has no column for the copied ${name}`);
  return columnType(column);
}
