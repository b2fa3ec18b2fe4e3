// Gathers the source columns a dataset does not have into one JSON object, the column `extra`.
// Only for imports with onUnknownColumn `keep`; leaves the dataset's own columns to copy-row.ts.

import { verdict } from '../checks/verdict.ts';
import type { Verdict } from '../checks/verdict.ts';
import type { ColumnPlan } from '../mapping/map-columns.ts';
import { judgeBytes, reserve, writeEscaped } from './copy-row.ts';
import type { CopyWriter } from './copy-row.ts';
import { decodeCsvCell } from './csv-record.ts';
import type { NdjsonRecordReader } from './ndjson-record.ts';
import { cellFlag } from './record.ts';
import type { RecordCursor } from './record.ts';

/** The members of the object as JSON text, or a positive verdict. */
export interface ExtraColumn {
  membersOf: (cursor: RecordCursor) => readonly string[] | Verdict;
}

function textOf(cursor: RecordCursor, cell: number, writer: CopyWriter): string | null {
  const { bytes } = cursor;
  const flags = cursor.flags[cell] as number;
  const start = cursor.starts[cell] as number;
  const end = cursor.ends[cell] as number;
  if ((flags & cellFlag.encoded) !== 0) {
    const decoded = Buffer.allocUnsafe(end - start);
    return decoded.toString('utf8', 0, decodeCsvCell({ bytes, start, end }, writer.dialect, decoded));
  }
  const isUnquoted = (flags & cellFlag.quoted) === 0;
  const isNull = isUnquoted && (start === end || writer.nullWords?.has(bytes.toString('latin1', start, end)) === true);
  return isNull ? null : bytes.toString('utf8', start, end);
}

/** CSV: every kept cell is a JSON string, or null. */
export function createCsvExtra(plan: ColumnPlan, writer: CopyWriter): ExtraColumn {
  const kept = plan.extra.map(({ name, index }) => ({ key: JSON.stringify(name), index }));
  return {
    membersOf: (cursor) => {
      const members: string[] = [];
      for (const { key, index } of kept) {
        const judged = writer.isDirty ? judgeBytes(cursor.bytes.subarray(cursor.starts[index], cursor.ends[index])) : verdict.ok;
        if (judged !== verdict.ok) return judged;
        members.push(`${key}:${JSON.stringify(textOf(cursor, index, writer))}`);
      }
      return members;
    },
  };
}

/** NDJSON: the members as they stand in the line. */
export function createNdjsonExtra(reader: NdjsonRecordReader): ExtraColumn {
  return {
    membersOf: (cursor) => {
      const fault = reader.extraFault();
      if (fault !== verdict.ok || reader.extraMembers.length === 0) return fault === verdict.ok ? [] : fault;
      const judged = judgeBytes(cursor.bytes.subarray(cursor.start, cursor.end));
      return judged === verdict.ok ? reader.extraMembers : judged;
    },
  };
}

/** Writes the object and a separator; a positive verdict writes nothing. */
export function writeExtra(writer: CopyWriter, cursor: RecordCursor, extra: ExtraColumn): Verdict {
  const members = extra.membersOf(cursor);
  if (typeof members === 'number') return members;
  const text = Buffer.from(`{${members.join(',')}}`);
  // Escaping doubles at most; the rest is for the line number.
  reserve(writer, text.length * 2 + 32);
  writer.bytes = text;
  writer.start = 0;
  writer.end = text.length;
  writeEscaped(writer);
  writer.out[writer.position++] = 0x09;
  return verdict.ok;
}
