// Checks dates and timestamps in ISO 8601 extended form over bytes; days must exist in the calendar, years run from 0001 to 9999.
// Refused: infinity, now, 24:00, leap seconds, two-digit years, week and ordinal dates.

import type { CellCheck, Verdict } from './verdict.ts';
import { verdict } from './verdict.ts';

const ZERO = 0x30;
const DASH = 0x2d;
const COLON = 0x3a;
const dateLength = 10;
const monthDays = Uint8Array.of(31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31);
/** Finer than PostgreSQL keeps (microseconds, rounded), as Go and Java write it. */
const fractionDigitMax = 9;
/** PostgreSQL takes offsets up to 15:59. */
const offsetHourMax = 15;

/** Two digits as a number; 1000 or more when one is no digit. */
function twoDigits(bytes: Buffer, p: number): number {
  const tens = (bytes[p] as number) ^ ZERO;
  const ones = (bytes[p + 1] as number) ^ ZERO;
  return tens <= 9 && ones <= 9 ? tens * 10 + ones : 1000;
}

function isDateAt(bytes: Buffer, p: number): boolean {
  const century = twoDigits(bytes, p);
  const yearOfCentury = twoDigits(bytes, p + 2);
  const month = twoDigits(bytes, p + 5);
  const day = twoDigits(bytes, p + 8);
  if (century > 99 || yearOfCentury > 99 || month > 12 || bytes[p + 4] !== DASH || bytes[p + 7] !== DASH) return false;
  if (month === 0 || day === 0 || (century === 0 && yearOfCentury === 0)) return false;
  const isLeap = yearOfCentury % 4 === 0 && (yearOfCentury !== 0 || century % 4 === 0);
  return day <= (month === 2 && isLeap ? 29 : (monthDays[month - 1] as number));
}

export const checkDate: CellCheck = (bytes, start, end) =>
  end - start === dateLength && isDateAt(bytes, start) ? verdict.ok : verdict.type;

/** Position after `:SS` and fraction, or -1. */
function skipSeconds(bytes: Buffer, from: number, end: number): number {
  if (from >= end || bytes[from] !== COLON) return from;
  if (from + 3 > end || twoDigits(bytes, from + 1) > 59) return -1;
  let p = from + 3;
  if (p >= end || bytes[p] !== 0x2e) return p;
  p++;
  const first = p;
  while (p < end && ((bytes[p] as number) ^ ZERO) <= 9) p++;
  return p > first && p - first <= fractionDigitMax ? p : -1;
}

/** `Z`, `+HH`, `+HHMM` or `+HH:MM`; none means UTC. */
function judgeZone(bytes: Buffer, p: number, end: number): Verdict {
  const length = end - p;
  if (length === 0) return verdict.appendUtc;
  const sign = bytes[p];
  if (length === 1) return sign === 0x5a || sign === 0x7a ? verdict.ok : verdict.type;
  if ((sign !== 0x2b && sign !== DASH) || length < 3 || twoDigits(bytes, p + 1) > offsetHourMax) return verdict.type;
  if (length === 3) return verdict.ok;
  const minutes = bytes[p + 3] === COLON ? p + 4 : p + 3;
  return minutes + 2 === end && twoDigits(bytes, minutes) <= 59 ? verdict.ok : verdict.type;
}

export const checkTimestamptz: CellCheck = (bytes, start, end) => {
  const length = end - start;
  if (length < dateLength || !isDateAt(bytes, start)) return verdict.type;
  if (length === dateLength) return verdict.appendMidnight;
  const separator = bytes[start + dateLength];
  if (length < 16 || (separator !== 0x54 && separator !== 0x74 && separator !== 0x20)) return verdict.type;
  const hour = twoDigits(bytes, start + 11);
  const minute = twoDigits(bytes, start + 14);
  if (hour > 23 || minute > 59 || bytes[start + 13] !== COLON) return verdict.type;
  const zone = skipSeconds(bytes, start + 16, end);
  return zone === -1 ? verdict.type : judgeZone(bytes, zone, end);
};

/** A point in time that two timestamps can be compared by, exact to the nanosecond. */
export interface Instant {
  seconds: number;
  nanoseconds: number;
}

/** The instant of a text that `checkTimestamptz` accepts. */
export function instantOf(text: string): Instant {
  const time = text.slice(11);
  const [, hour = '00', minute = '00', second = '00', fraction = ''] = /^(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?/.exec(time) ?? [];
  const [, sign = '+', offsetHour = '00', offsetMinute = '00'] = /([+-])(\d\d):?(\d\d)?$/.exec(time) ?? [];
  const offset = (Number(offsetHour) * 60 + Number(offsetMinute)) * (sign === '-' ? -60 : 60);
  const midnight = Date.parse(`${text.slice(0, dateLength)}T00:00:00Z`) / 1000;
  const seconds = midnight + Number(hour) * 3600 + Number(minute) * 60 + Number(second) - offset;
  return { seconds, nanoseconds: Number(fraction.padEnd(9, '0')) };
}
