// Checks integer, bigint, numeric and double over bytes: plain decimals that PostgreSQL takes as they stand, without loss.
// Leaves min and max to bounds.ts.

import type { CellCheck } from './verdict.ts';
import { verdict } from './verdict.ts';

const PLUS = 0x2b;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;

// PostgreSQL's limits of numeric: https://www.postgresql.org/docs/current/datatype-numeric.html
const numericDigitsBeforePoint = 131_072;
const numericDigitsAfterPoint = 16_383;
/** Below this many digits no decimal without exponent can leave the range of double. */
const doubleSafeDigits = 300;

function skipSign(bytes: Buffer, start: number): number {
  return bytes[start] === PLUS || bytes[start] === MINUS ? start + 1 : start;
}

function skipDigits(bytes: Buffer, start: number, end: number): number {
  let p = start;
  while (p < end && ((bytes[p] as number) ^ ZERO) <= 9) p++;
  return p;
}

function skipZeros(bytes: Buffer, start: number, end: number): number {
  let p = start;
  while (p < end - 1 && bytes[p] === ZERO) p++;
  return p;
}

/** Whether digits of the same length as `limit` are at most `limit`. */
function isAtMost(bytes: Buffer, start: number, limit: Buffer): boolean {
  for (let i = 0; i < limit.length; i++) {
    const difference = (bytes[start + i] as number) - (limit[i] as number);
    if (difference !== 0) return difference < 0;
  }
  return true;
}

function createIntegerCheck(positiveMax: string, negativeMax: string): CellCheck {
  const positive = Buffer.from(positiveMax);
  const negative = Buffer.from(negativeMax);
  return (bytes, start, end) => {
    const digits = skipSign(bytes, start);
    if (digits === end || skipDigits(bytes, digits, end) !== end) return verdict.type;
    const length = end - digits;
    if (length < positive.length) return verdict.ok;
    const first = skipZeros(bytes, digits, end);
    if (end - first < positive.length) return verdict.ok;
    const limit = bytes[start] === MINUS ? negative : positive;
    return end - first === limit.length && isAtMost(bytes, first, limit) ? verdict.ok : verdict.type;
  };
}

/** 32-bit: what does not fit is of another type. */
export const checkInteger = createIntegerCheck('2147483647', '2147483648');
/** 64-bit, compared digit by digit. */
export const checkBigint = createIntegerCheck('9223372036854775807', '9223372036854775808');

/** End of `digits[.digits]` with at least one digit, or -1. */
function skipDecimal(bytes: Buffer, start: number, end: number): number {
  const whole = skipDigits(bytes, start, end);
  if (whole === end || bytes[whole] !== DOT) return whole > start ? whole : -1;
  const fraction = skipDigits(bytes, whole + 1, end);
  return fraction - start > 1 ? fraction : -1;
}

export const checkNumeric: CellCheck = (bytes, start, end) => {
  const digits = skipSign(bytes, start);
  if (skipDecimal(bytes, digits, end) !== end) return verdict.type;
  if (end - start < numericDigitsAfterPoint) return verdict.ok;
  const whole = skipDigits(bytes, digits, end);
  const isTooLong = whole - skipZeros(bytes, digits, whole) > numericDigitsBeforePoint || end - whole - 1 > numericDigitsAfterPoint;
  return isTooLong ? verdict.type : verdict.ok;
};

/** Neither overflow nor a non-zero number that becomes zero; PostgreSQL refuses both. */
function isInDoubleRange(bytes: Buffer, start: number, end: number): boolean {
  const text = bytes.toString('latin1', start, end);
  const value = Number(text);
  return Number.isFinite(value) && (value !== 0 || !/^[^eE]*[1-9]/.test(text));
}

export const checkDouble: CellCheck = (bytes, start, end) => {
  const mantissaEnd = skipDecimal(bytes, skipSign(bytes, start), end);
  if (mantissaEnd === end) return end - start < doubleSafeDigits || isInDoubleRange(bytes, start, end) ? verdict.ok : verdict.type;
  if (mantissaEnd === -1 || ((bytes[mantissaEnd] as number) | 0x20) !== 0x65) return verdict.type;
  const exponent = mantissaEnd + 1 < end ? skipSign(bytes, mantissaEnd + 1) : end;
  if (exponent >= end || skipDigits(bytes, exponent, end) !== end) return verdict.type;
  return isInDoubleRange(bytes, start, end) ? verdict.ok : verdict.type;
};
