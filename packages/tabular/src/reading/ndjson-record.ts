// Reads one line of NDJSON into cells by dataset column, as ranges of bytes: numbers keep their digits, nothing is built.
// Leaves the values to copy-row.ts. One line is one record, whatever it holds.

import { createJsonScan, skipJsonSpace, skipJsonString, skipJsonValue, startJsonScan } from '../checks/json-scan.ts';
import type { JsonKind, JsonScan } from '../checks/json-scan.ts';
import { verdict } from '../checks/verdict.ts';
import { createNameResolver } from '../mapping/map-columns.ts';
import type { ColumnPlan } from '../mapping/map-columns.ts';
import { cellFlag } from './record.ts';
import type { ReadRecord, RecordCursor } from './record.ts';

/** Where a key's value goes when it is no dataset column. */
const ignored = -1;
const refused = -2;
const kept = -3;
/** Distinct keys remembered; a file with more is looked up by name each time. */
const rememberedKeyMax = 10_000;

interface Key {
  bytes: Buffer;
  column: number;
}

interface KeyTable {
  /** The keys of the line before by position: the next line nearly always has the same. */
  guesses: Key[];
  byBytes: Map<string, Key>;
  resolve: (name: string) => number | null;
  unknown: number;
  /** The range of the key at hand, without its quotes. */
  start: number;
  end: number;
}

export interface NdjsonRecordReader {
  read: ReadRecord;
  /** The unknown keys of the record at hand and their values, as members of a JSON object. */
  extraMembers: string[];
  /** The value at fault among them, or 0. */
  extraFault: () => number;
}

function isKeyAtHand({ start, end }: KeyTable, bytes: Buffer, key: Buffer): boolean {
  if (key.length !== end - start) return false;
  for (let i = 0; i < key.length; i++) if (key[i] !== bytes[start + i]) return false;
  return true;
}

function lookUpKey(table: KeyTable, bytes: Buffer): Key {
  const { start, end } = table;
  const name = bytes.toString('latin1', start, end);
  const known = table.byBytes.get(name);
  if (known !== undefined) return known;
  const decoded: unknown = JSON.parse(bytes.toString('utf8', start - 1, end + 1));
  const key = { bytes: Buffer.from(bytes.subarray(start, end)), column: table.resolve(String(decoded)) ?? table.unknown };
  if (table.byBytes.size < rememberedKeyMax) table.byBytes.set(name, key);
  return key;
}

/** The key at hand, which is the `ordinal`th of its line. */
function findKey(table: KeyTable, bytes: Buffer, ordinal: number): Key {
  const guess = table.guesses[ordinal];
  if (guess !== undefined && isKeyAtHand(table, bytes, guess.bytes)) return guess;
  const key = lookUpKey(table, bytes);
  if (ordinal < rememberedKeyMax) table.guesses[ordinal] = key;
  return key;
}

interface LineReader {
  scan: JsonScan;
  table: KeyTable;
  extraMembers: string[];
  extraFault: number;
}

const kindFlags: Record<JsonKind, number> = {
  string: cellFlag.quoted,
  literal: cellFlag.literal,
  null: cellFlag.isNull,
  container: cellFlag.container,
};

interface Member {
  column: number;
  keyStart: number;
  start: number;
  end: number;
}

function keepValue(reader: LineReader, cursor: RecordCursor, member: Member): void {
  if (reader.scan.noted !== verdict.ok) reader.extraFault = reader.scan.noted;
  reader.extraMembers.push(cursor.bytes.toString('utf8', member.keyStart, member.end));
}

function placeValue(reader: LineReader, cursor: RecordCursor, { column, start, end }: Member): void {
  const { kind, isEscaped } = reader.scan;
  const inner = kind === 'string' ? 1 : 0;
  cursor.starts[column] = start + inner;
  cursor.ends[column] = end - inner;
  cursor.flags[column] = kindFlags[kind] | (kind === 'string' && isEscaped ? cellFlag.encoded : 0);
}

function fail(reader: LineReader, cursor: RecordCursor, column: number): -1 {
  cursor.fault = reader.scan.fault;
  cursor.faultCell = column;
  return -1;
}

/** The range of the first cell says which key it is. */
function refuseKey(reader: LineReader, cursor: RecordCursor): -1 {
  cursor.starts[0] = reader.table.start;
  cursor.ends[0] = reader.table.end;
  reader.scan.fault = verdict.columnCount;
  return fail(reader, cursor, -1);
}

/** Reads `"key": value` at `from`; returns the position after it, or -1. */
function readMember(reader: LineReader, cursor: RecordCursor, from: number): number {
  const { scan, table } = reader;
  const { bytes, end } = cursor;
  scan.fault = verdict.json;
  scan.noted = verdict.ok;
  if (from >= end || bytes[from] !== 0x22) return fail(reader, cursor, -1);
  const keyEnd = skipJsonString(scan, from + 1);
  if (keyEnd === -1) return fail(reader, cursor, -1);
  table.start = from + 1;
  table.end = keyEnd - 1;
  const { column } = findKey(table, bytes, cursor.cellCount);
  cursor.cellCount++;
  if (column === refused) return refuseKey(reader, cursor);
  const colon = skipJsonSpace(bytes, keyEnd, end);
  scan.fault = verdict.json;
  if (colon >= end || bytes[colon] !== 0x3a) return fail(reader, cursor, -1);
  const start = skipJsonSpace(bytes, colon + 1, end);
  const next = skipJsonValue(scan, start);
  if (next === -1) return fail(reader, cursor, Math.max(column, -1));
  if (column >= 0) placeValue(reader, cursor, { column, keyStart: from, start, end: next });
  else if (column === kept) keepValue(reader, cursor, { column, keyStart: from, start, end: next });
  return next;
}

/** Reads the members of the object that opens before `from`; returns the position after it, or -1 with the cursor's fault. */
function readMembers(reader: LineReader, cursor: RecordCursor, from: number): number {
  const { bytes, end } = cursor;
  let p = skipJsonSpace(bytes, from, end);
  if (p < end && bytes[p] === 0x7d) return p + 1;
  for (;;) {
    p = readMember(reader, cursor, p);
    if (p === -1) return -1;
    p = skipJsonSpace(bytes, p, end);
    if (p < end && bytes[p] === 0x7d) return p + 1;
    if (p >= end || bytes[p] !== 0x2c) {
      reader.scan.fault = verdict.json;
      return fail(reader, cursor, -1);
    }
    p = skipJsonSpace(bytes, p + 1, end);
  }
}

/** Takes the range of the next line; a CR before its LF is not part of it. */
function takeLine(cursor: RecordCursor): void {
  const { bytes, position } = cursor;
  const lineFeed = bytes.indexOf(0x0a, position);
  const lineEnd = lineFeed === -1 ? bytes.length : lineFeed;
  cursor.start = position;
  cursor.end = lineEnd > position && bytes[lineEnd - 1] === 0x0d ? lineEnd - 1 : lineEnd;
  cursor.position = Math.min(lineEnd + 1, bytes.length);
  cursor.line = cursor.nextLine;
  cursor.nextLine++;
  cursor.fault = verdict.ok;
  cursor.faultCell = -1;
  cursor.cellCount = 0;
}

/** Makes the reader of one plan; the cursor must be as wide as the dataset. */
export function createNdjsonRecordReader(plan: ColumnPlan): NdjsonRecordReader {
  const policy = { fail: refused, ignore: ignored, keep: kept } as const;
  const table: KeyTable = {
    guesses: [],
    byBytes: new Map(),
    resolve: createNameResolver(plan),
    unknown: policy[plan.onUnknownColumn],
    start: 0,
    end: 0,
  };
  const reader: LineReader = { scan: createJsonScan(), table, extraMembers: [], extraFault: 0 };
  return {
    extraMembers: reader.extraMembers,
    extraFault: () => reader.extraFault,
    read: (cursor) => {
      takeLine(cursor);
      const { bytes, end } = cursor;
      const open = skipJsonSpace(bytes, cursor.start, end);
      cursor.isBlank = open >= end;
      if (cursor.isBlank) return;
      cursor.flags.fill(cellFlag.isNull);
      startJsonScan(reader.scan, bytes, end);
      reader.extraMembers.length = 0;
      reader.extraFault = verdict.ok;
      const close = bytes[open] === 0x7b ? readMembers(reader, cursor, open + 1) : -1;
      const isWhole = close !== -1 && skipJsonSpace(bytes, close, end) === end;
      if (!isWhole && cursor.fault === verdict.ok) cursor.fault = verdict.json;
    },
  };
}
