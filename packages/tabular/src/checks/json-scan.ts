// Walks over JSON text as bytes (RFC 8259, strict) without building anything, so that numbers keep their digits and keys such
// as `__proto__` can do no harm. Leaves meaning to ndjson-record.ts and json.ts.

import type { Verdict } from './verdict.ts';
import { verdict } from './verdict.ts';

/** Containers inside one another, counted from the value of a column. */
export const jsonDepthMax = 32;
/** Beyond this a number may not fit PostgreSQL's numeric, which jsonb keeps numbers in. */
const exponentMax = 16_000;

export type JsonKind = 'string' | 'literal' | 'null' | 'container';

/** A walk: the text, and what the last value was. One object for all values, since it is written per value. */
export interface JsonScan {
  bytes: Buffer;
  /** Where the text ends. */
  end: number;
  /** Containers open around the value. */
  depth: number;
  kind: JsonKind;
  /** The last string holds a backslash. */
  isEscaped: boolean;
  /** 0, or why the walk returned -1; `nul` and `encoding` are noted without stopping. */
  fault: Verdict;
  noted: Verdict;
}

/** Points the walk at another text. */
export function startJsonScan(scan: JsonScan, bytes: Buffer, end: number): void {
  scan.bytes = bytes;
  scan.end = end;
  scan.depth = 0;
  scan.fault = verdict.ok;
  scan.noted = verdict.ok;
}

export function createJsonScan(): JsonScan {
  return { bytes: Buffer.alloc(0), end: 0, depth: 0, kind: 'null', isEscaped: false, fault: verdict.ok, noted: verdict.ok };
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const words = [Buffer.from('true'), Buffer.from('false'), Buffer.from('null')];
const numberShape = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE]([+-]?\d+))?$/;
/** 1: goes on in a string; 0: quote, backslash or control character. */
const stringBytes = new Uint8Array(256).fill(1, 0x20);
stringBytes[QUOTE] = stringBytes[BACKSLASH] = 0;
/** Bytes a number may be made of. */
const numberBytes = new Uint8Array(256);
for (const byte of Buffer.from('0123456789+-.eE')) numberBytes[byte] = 1;

function fail(scan: JsonScan, fault: Verdict): -1 {
  scan.fault = fault;
  return -1;
}

export function skipJsonSpace(bytes: Buffer, from: number, end: number): number {
  let p = from;
  while (p < end && (bytes[p] === 0x20 || bytes[p] === 0x09 || bytes[p] === 0x0a || bytes[p] === 0x0d)) p++;
  return p;
}

/** The code unit of `uXXXX` at `p`, or -1. */
function unitAt(bytes: Buffer, p: number, end: number): number {
  const text = p + 4 < end ? bytes.toString('latin1', p + 1, p + 5) : '';
  return /^[0-9a-fA-F]{4}$/.test(text) ? Number.parseInt(text, 16) : -1;
}

/** From the byte after a backslash; returns the position after the escape. Notes NUL and lone surrogates. */
function skipEscape(scan: JsonScan, p: number): number {
  const { bytes, end } = scan;
  const letter = bytes[p] as number;
  if (letter !== 0x75) return p < end && '"\\/bfnrt'.includes(String.fromCharCode(letter)) ? p + 1 : fail(scan, verdict.json);
  const unit = unitAt(bytes, p, end);
  if (unit === -1) return fail(scan, verdict.json);
  if (unit === 0) scan.noted = verdict.nul;
  if (unit < 0xd800 || unit > 0xdfff) return p + 5;
  const hasPartner = unit < 0xdc00 && p + 6 < end && bytes[p + 5] === BACKSLASH && bytes[p + 6] === 0x75;
  const partner = hasPartner ? unitAt(bytes, p + 6, end) : -1;
  if (partner >= 0xdc00 && partner <= 0xdfff) return p + 11;
  scan.noted = verdict.encoding;
  return p + 5;
}

/** From the byte after the opening quote to the position after the closing one. */
export function skipJsonString(scan: JsonScan, from: number): number {
  const { bytes, end } = scan;
  scan.isEscaped = false;
  let p = from;
  while (p < end) {
    while (p < end && stringBytes[bytes[p] as number] === 1) p++;
    if (p >= end) break;
    if (bytes[p] === QUOTE) return p + 1;
    if (bytes[p] !== BACKSLASH) return fail(scan, bytes[p] === 0 ? verdict.nul : verdict.json);
    scan.isEscaped = true;
    p = skipEscape(scan, p + 1);
    if (p === -1) return -1;
  }
  return fail(scan, verdict.json);
}

/** Whether the bytes are a number with neither a leading zero nor an exponent, by far the most frequent case. */
function isPlainNumber(bytes: Buffer, from: number, end: number): boolean {
  let p = bytes[from] === 0x2d ? from + 1 : from;
  const first = p;
  let pointAt = -1;
  for (; p < end; p++) {
    if (bytes[p] === 0x2e && pointAt === -1) pointAt = p;
    else if (((bytes[p] as number) ^ 0x30) > 9) return false;
  }
  const wholeLength = (pointAt === -1 ? end : pointAt) - first;
  return pointAt !== end - 1 && (wholeLength === 1 || (wholeLength > 1 && bytes[first] !== 0x30));
}

function isNumber(bytes: Buffer, from: number, end: number): boolean {
  if (isPlainNumber(bytes, from, end)) return true;
  const shape = numberShape.exec(bytes.toString('latin1', from, end));
  return shape !== null && Math.abs(Number(shape[1] ?? 0)) <= exponentMax;
}

function skipLiteral(scan: JsonScan, from: number): number {
  const { bytes, end } = scan;
  scan.kind = 'literal';
  let p = from;
  while (p < end && numberBytes[bytes[p] as number] === 1) p++;
  if (p > from) return isNumber(bytes, from, p) ? p : fail(scan, verdict.json);
  const word = words.find(
    (candidate) =>
      from + candidate.length <= end && bytes[from] === candidate[0] && candidate.compare(bytes, from, from + candidate.length) === 0,
  );
  if (word === undefined) return fail(scan, verdict.json);
  if (word.length === 4 && word[0] === 0x6e) scan.kind = 'null';
  return from + word.length;
}

/** From the byte after `{` or `[`; returns the position after the closing one. */
function skipMembers(scan: JsonScan, from: number, close: number): number {
  const { bytes, end } = scan;
  let p = skipJsonSpace(bytes, from, end);
  if (p < end && bytes[p] === close) return p + 1;
  for (;;) {
    if (close === 0x7d) {
      p = p < end && bytes[p] === QUOTE ? skipJsonString(scan, p + 1) : fail(scan, verdict.json);
      if (p === -1) return -1;
      p = skipJsonSpace(bytes, p, end);
      if (p >= end || bytes[p] !== 0x3a) return fail(scan, verdict.json);
      p = skipJsonSpace(bytes, p + 1, end);
    }
    p = skipJsonValue(scan, p);
    if (p === -1) return -1;
    p = skipJsonSpace(bytes, p, end);
    if (p < end && bytes[p] === close) return p + 1;
    if (p >= end || bytes[p] !== 0x2c) return fail(scan, verdict.json);
    p = skipJsonSpace(bytes, p + 1, end);
  }
}

/** From the first byte of a value to the position after it, or -1 with `scan.fault`. Sets `scan.kind` and `scan.isEscaped`. */
export function skipJsonValue(scan: JsonScan, from: number): number {
  const { bytes, end } = scan;
  const first = from < end ? bytes[from] : -1;
  if (first === QUOTE) {
    const next = skipJsonString(scan, from + 1);
    scan.kind = 'string';
    return next;
  }
  if (first !== 0x7b && first !== 0x5b) return skipLiteral(scan, from);
  if (scan.depth >= jsonDepthMax) return fail(scan, verdict.tooDeep);
  scan.depth++;
  const next = skipMembers(scan, from + 1, first + 2);
  scan.depth--;
  scan.kind = 'container';
  return next;
}
