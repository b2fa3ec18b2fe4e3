// Puts together the one check of a column: its type, then what it demands beyond.
// Leaves nulls and `required` to copy-row.ts, which knows how the cell was written.

import type { ColumnSpec, ColumnType } from '../types.ts';
import { createBoundChecks } from './bounds.ts';
import { checkDate, checkTimestamptz } from './dates.ts';
import { createJsonCheck } from './json.ts';
import { checkBigint, checkDouble, checkInteger, checkNumeric } from './numbers.ts';
import type { CellCheck } from './verdict.ts';
import { verdict } from './verdict.ts';
import { checkBoolean, checkInet, checkUuid } from './words.ts';

const typeChecks: Record<Exclude<ColumnType, 'json'>, CellCheck | null> = {
  text: null,
  integer: checkInteger,
  bigint: checkBigint,
  numeric: checkNumeric,
  double: checkDouble,
  boolean: checkBoolean,
  date: checkDate,
  timestamptz: checkTimestamptz,
  uuid: checkUuid,
  inet: checkInet,
  enum: null,
};

/** The check of a column, or null when any text will do. Throws when its pattern is no RE2 expression. */
export function createColumnCheck(column: ColumnSpec): CellCheck | null {
  const checks = createBoundChecks(column);
  const typeCheck = column.type === 'json' ? createJsonCheck() : typeChecks[column.type];
  if (checks.length === 0) return typeCheck;
  return (bytes, start, end) => {
    const accepted = typeCheck === null ? verdict.ok : typeCheck(bytes, start, end);
    if (accepted > 0) return accepted;
    for (const check of checks) {
      const judged = check(bytes, start, end);
      if (judged !== verdict.ok) return judged;
    }
    return accepted;
  };
}
