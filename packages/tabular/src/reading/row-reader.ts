// Reads chunks of a file into rows checked against a dataset, as COPY text: the hot path of an import.
// Leaves the file, the database and keys (duplicates) to the caller.

import { isUtf8 } from 'node:buffer';
import { createColumnCheck } from '../checks/column-check.ts';
import { verdict } from '../checks/verdict.ts';
import type { Verdict } from '../checks/verdict.ts';
import type { ColumnPlan } from '../mapping/map-columns.ts';
import type { ColumnSpec, CsvDialect, FileFormat, Reject } from '../types.ts';
import { mergeParts, partOf, startPart } from './chunk-rows.ts';
import type { ChunkRows, OpenPart } from './chunk-rows.ts';
import { columnOverhead, createCopyWriter, judgeBytes, reserve, writeCell, writeDecimal } from './copy-row.ts';
import type { CopyColumn, CopyWriter } from './copy-row.ts';
import { createCsvRecordReader } from './csv-record.ts';
import { describeFault, describeUnknownKey } from './describe-fault.ts';
import { createCsvExtra, createNdjsonExtra, writeExtra } from './extra-column.ts';
import type { ExtraColumn } from './extra-column.ts';
import { createNdjsonRecordReader } from './ndjson-record.ts';
import { createRecordCursor } from './record.ts';
import type { ReadRecord, RecordCursor } from './record.ts';

export interface RowReaderOptions {
  plan: ColumnPlan;
  columns: readonly ColumnSpec[];
  dialect: CsvDialect;
  format: FileFormat;
  /** Name of a last COPY column that holds the line number of each row; none when absent. */
  lineColumn?: string;
  /** A part ends with the row that reaches this size of COPY text. Default 512 KiB. */
  partBytes?: number;
  /** Rejects kept per call of `readParts` or `readChunk`; the counts go on. Default 100,000. */
  rejectLimit?: number;
}

export interface RowReader {
  /** Columns of the COPY text in order: those of the dataset that the file fills, then `extra` if kept, then `lineColumn`. */
  copyColumns: string[];
  /** Reads a chunk (whole records, at physical line `firstLine`) part by part, so that COPY can take one while the next is made. */
  readParts: (bytes: Uint8Array, firstLine: number) => Generator<ChunkRows, void, undefined>;
  /** Reads a chunk at once. */
  readChunk: (bytes: Uint8Array, firstLine: number) => ChunkRows;
}

/** Rejects (with up to 8 KiB of raw text each) after which a part ends. */
const partRejectMax = 500;

interface Reading {
  cursor: RecordCursor;
  read: ReadRecord;
  writer: CopyWriter;
  columns: CopyColumn[];
  specs: readonly ColumnSpec[];
  plan: ColumnPlan;
  extra: ExtraColumn | null;
  hasLineColumn: boolean;
  /** Cells of a CSV record; -1 when any number will do. */
  width: number;
  /** The column at fault in the record at hand. */
  faultColumn: CopyColumn | null;
  isDirtyChunk: boolean;
  rejectRoom: number;
}

function compileColumns({ plan, columns, format }: RowReaderOptions): CopyColumn[] {
  return columns.flatMap((column, index) => {
    const cell = format === 'ndjson' ? index : (plan.sources[index] ?? null);
    if (cell === null) return [];
    const isText = column.type === 'text';
    return [
      {
        name: column.name,
        cell,
        check: createColumnCheck(column),
        isText,
        isJson: column.type === 'json',
        isRequired: column.required === true,
      },
    ];
  });
}

function openReading(options: RowReaderOptions): Reading {
  const { plan, columns, dialect, format } = options;
  const isNdjson = format === 'ndjson';
  const width = isNdjson ? columns.length : plan.headerColumns.length;
  const ndjson = isNdjson ? createNdjsonRecordReader(plan) : null;
  const nullWords =
    dialect.nullValues.length === 0 ? null : new Set(dialect.nullValues.map((word) => Buffer.from(word).toString('latin1')));
  const writer = createCopyWriter({ dialect, isNdjson, nullWords });
  const keepsExtra = plan.onUnknownColumn === 'keep';
  return {
    cursor: createRecordCursor(width),
    read: ndjson === null ? createCsvRecordReader(dialect) : ndjson.read,
    writer,
    columns: compileColumns(options),
    specs: columns,
    plan,
    extra: keepsExtra ? (ndjson === null ? createCsvExtra(plan, writer) : createNdjsonExtra(ndjson)) : null,
    hasLineColumn: options.lineColumn !== undefined,
    width: isNdjson ? -1 : width,
    faultColumn: null,
    isDirtyChunk: false,
    rejectRoom: 0,
  };
}

/** Writes the record at hand as a line of COPY text; on a fault nothing is written. */
function writeRow(reading: Reading): Verdict {
  const { cursor, writer, columns } = reading;
  reserve(writer, (cursor.end - cursor.start) * 2 + (columns.length + 2) * columnOverhead);
  writer.isDirty = reading.isDirtyChunk && judgeBytes(cursor.bytes.subarray(cursor.start, cursor.end)) !== verdict.ok;
  const lineStart = writer.position;
  for (const column of columns) {
    const judged = writeCell(writer, cursor, column);
    if (judged > 0) {
      writer.position = lineStart;
      reading.faultColumn = column;
      return judged;
    }
    writer.out[writer.position++] = 0x09;
  }
  const judged = reading.extra === null ? verdict.ok : writeExtra(writer, cursor, reading.extra);
  if (judged > 0) {
    writer.position = lineStart;
    return judged;
  }
  if (reading.hasLineColumn) {
    writeDecimal(writer, cursor.line);
    writer.position++;
  }
  writer.out[writer.position - 1] = 0x0a;
  return verdict.ok;
}

/** The fault of the record's form, before any cell is looked at. */
function judgeForm({ cursor, width }: Reading): Verdict {
  if (cursor.fault !== verdict.ok) return cursor.fault;
  return width !== -1 && cursor.cellCount !== width ? verdict.columnCount : verdict.ok;
}

function describeForm(reading: Reading, judged: Verdict): Reject {
  const { cursor, plan, specs, width } = reading;
  const cell = cursor.faultCell;
  const isCsv = width !== -1;
  const index = isCsv ? plan.sources.indexOf(cell) : cell;
  const columnName = cell < 0 ? null : (specs[index]?.name ?? (isCsv ? plan.headerColumns[cell] : undefined) ?? null);
  const fault = { cursor, judged, column: null, columnName, cell: -1 };
  if (judged !== verdict.columnCount) return describeFault(fault);
  const message = isCsv ? `The row has ${cursor.cellCount} columns, the header ${width}.` : describeUnknownKey(cursor);
  return describeFault({ ...fault, message });
}

function describeCell(reading: Reading, judged: Verdict): Reject {
  const { cursor, specs, faultColumn } = reading;
  if (faultColumn === null) return describeFault({ cursor, judged, column: null, columnName: 'extra', cell: -1 });
  const column = specs.find(({ name }) => name === faultColumn.name) ?? null;
  return describeFault({ cursor, judged, column, columnName: faultColumn.name, cell: faultColumn.cell });
}

function addReject(reading: Reading, part: OpenPart, describe: () => Reject): void {
  const reject = reading.rejectRoom > 0 ? describe() : null;
  if (reject !== null) {
    part.rejects.push(reject);
    reading.rejectRoom--;
  }
  part.rejectCount++;
}

function readRow(reading: Reading, part: OpenPart): void {
  const { cursor } = reading;
  reading.read(cursor);
  if (cursor.isBlank) return;
  const malformed = judgeForm(reading);
  if (malformed !== verdict.ok) {
    addReject(reading, part, () => describeForm(reading, malformed));
    part.countByVerdict[malformed] = (part.countByVerdict[malformed] ?? 0) + 1;
    return;
  }
  reading.faultColumn = null;
  const judged = writeRow(reading);
  if (judged !== verdict.ok) {
    addReject(reading, part, () => describeCell(reading, judged));
    part.countByVerdict[judged] = (part.countByVerdict[judged] ?? 0) + 1;
    return;
  }
  part.lines.push(cursor.line);
  part.starts.push(cursor.start);
  part.ends.push(cursor.end);
}

function startChunk(reading: Reading, bytes: Uint8Array, firstLine: number): void {
  const { cursor } = reading;
  cursor.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  cursor.position = 0;
  cursor.nextLine = firstLine;
  reading.isDirtyChunk = !isUtf8(bytes) || cursor.bytes.includes(0);
}

/** Makes a reader; it may read any number of chunks, one at a time. Throws when a pattern is no RE2 expression. */
export function createRowReader(options: RowReaderOptions): RowReader {
  const reading = openReading(options);
  const { cursor, writer } = reading;
  const partBytes = options.partBytes ?? 512 * 1024;
  function* readParts(bytes: Uint8Array, firstLine: number): Generator<ChunkRows, void, undefined> {
    startChunk(reading, bytes, firstLine);
    reading.rejectRoom = options.rejectLimit ?? 100_000;
    while (cursor.position < cursor.bytes.length) {
      const part = startPart(cursor.nextLine);
      // Small chunks are not worth a whole part; the room beyond the limit is for the row that passes it.
      writer.out = Buffer.allocUnsafeSlow(Math.min(partBytes, bytes.byteLength * 2) + 16 * 1024);
      writer.position = 0;
      while (cursor.position < cursor.bytes.length && writer.position < partBytes && part.rejects.length < partRejectMax)
        readRow(reading, part);
      yield partOf(part, writer.out.subarray(0, writer.position), cursor.nextLine);
    }
  }
  const lineColumns = options.lineColumn === undefined ? [] : [options.lineColumn];
  return {
    copyColumns: [...reading.columns.map(({ name }) => name), ...(reading.extra === null ? [] : ['extra']), ...lineColumns],
    readParts,
    readChunk: (bytes, firstLine) => mergeParts([...readParts(bytes, firstLine)]),
  };
}
