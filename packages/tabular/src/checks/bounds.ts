// Checks what a column demands beyond its type: min and max, length, words of an enum, pattern.
// Runs after the check of the type, so the text is known to be well formed.

import { RE2JS } from 're2js';
import type { ColumnSpec } from '../types.ts';
import { instantOf } from './dates.ts';
import type { CellCheck } from './verdict.ts';
import { verdict } from './verdict.ts';

type Compare = (a: string, b: string) => number;

/** Up to this many characters a decimal converts to a double without two of them falling together. */
const doubleExactLength = 15;

function splitDecimal(text: string): { isNegative: boolean; whole: string; fraction: string } {
  const [, sign, whole = '', fraction = ''] = /^([+-]?)0*(\d*)\.?(\d*)$/.exec(text) ?? [];
  const trimmed = fraction.replace(/0+$/, '');
  return { isNegative: sign === '-' && (whole !== '' || trimmed !== ''), whole, fraction: trimmed };
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Orders two plain decimals of any length exactly. */
export function compareDecimals(a: string, b: string): number {
  if (a.length <= doubleExactLength && b.length <= doubleExactLength) return Number(a) - Number(b);
  const left = splitDecimal(a);
  const right = splitDecimal(b);
  if (left.isNegative !== right.isNegative) return left.isNegative ? -1 : 1;
  const order =
    left.whole.length - right.whole.length || compareText(left.whole, right.whole) || compareText(left.fraction, right.fraction);
  return left.isNegative ? -order : order;
}

function compareInstants(a: string, b: string): number {
  const left = instantOf(a);
  const right = instantOf(b);
  return left.seconds - right.seconds || left.nanoseconds - right.nanoseconds;
}

const compareBy: Partial<Record<ColumnSpec['type'], Compare>> = {
  integer: compareDecimals,
  bigint: compareDecimals,
  numeric: compareDecimals,
  double: (a, b) => Number(a) - Number(b),
  date: compareText,
  timestamptz: compareInstants,
};

/** A JavaScript number as a plain decimal; 1e21 and 1e-7 would otherwise show an exponent. */
function plainDecimal(bound: number | string): string {
  const text = String(bound);
  if (typeof bound === 'string' || !text.includes('e')) return text;
  return Number.isInteger(bound) ? BigInt(bound).toString() : bound.toFixed(20);
}

function createRangeCheck({ type, min, max }: ColumnSpec): CellCheck | null {
  const compare = compareBy[type];
  if (compare === undefined || (min === undefined && max === undefined)) return null;
  const low = min === undefined ? null : plainDecimal(min);
  const high = max === undefined ? null : plainDecimal(max);
  return (bytes, start, end) => {
    const text = bytes.toString('latin1', start, end);
    const isInside = (low === null || compare(text, low) >= 0) && (high === null || compare(text, high) <= 0);
    return isInside ? verdict.ok : verdict.range;
  };
}

function createLengthCheck({ maxLength }: ColumnSpec): CellCheck | null {
  if (maxLength === undefined) return null;
  return (bytes, start, end) => {
    if (end - start <= maxLength) return verdict.ok;
    let codePoints = 0;
    // Every byte but a continuation byte (10xxxxxx) starts a code point.
    for (let p = start; p < end; p++) if (((bytes[p] as number) & 0xc0) !== 0x80) codePoints++;
    return codePoints <= maxLength ? verdict.ok : verdict.length;
  };
}

function createEnumCheck({ values }: ColumnSpec): CellCheck | null {
  if (values === undefined) return null;
  // Bytes read as Latin-1 on both sides: equal strings mean equal bytes, and nothing is decoded per cell.
  const words = new Set(values.map((value) => Buffer.from(value).toString('latin1')));
  const longest = Math.max(0, ...[...words].map((word) => word.length));
  return (bytes, start, end) => (end - start <= longest && words.has(bytes.toString('latin1', start, end)) ? verdict.ok : verdict.enum);
}

function createPatternCheck({ pattern }: ColumnSpec): CellCheck | null {
  if (pattern === undefined) return null;
  const expression = RE2JS.compile(pattern);
  return (bytes, start, end) => (expression.test(bytes.toString('utf8', start, end)) ? verdict.ok : verdict.pattern);
}

/** Throws when RE2 does not know the pattern's syntax; for the check of a dataset before it is kept. */
export function assertPattern(pattern: string): void {
  RE2JS.compile(pattern);
}

/** The checks a column demands, in the order their faults are reported. */
export function createBoundChecks(column: ColumnSpec): CellCheck[] {
  const checks = [createEnumCheck(column), createLengthCheck(column), createRangeCheck(column), createPatternCheck(column)];
  return checks.filter((check) => check !== null);
}
