// What a check says about one cell, as a small number: the hot loops neither allocate nor throw.
// Leaves the words for people to reading/describe-fault.ts.

import type { RejectCode } from '../types.ts';

/** 0 is accepted as it stands, positive is a reject, negative is accepted with something appended. */
export type Verdict = number;

export const verdict = {
  ok: 0,
  columnCount: 1,
  badQuote: 2,
  encoding: 3,
  nul: 4,
  type: 5,
  required: 6,
  range: 7,
  length: 8,
  enum: 9,
  pattern: 10,
  json: 11,
  tooDeep: 12,
  /** A timestamp without a zone: UTC is to be appended. */
  appendUtc: -1,
  /** A date where a timestamp is wanted: midnight UTC is to be appended. */
  appendMidnight: -2,
} as const;

const codes: readonly RejectCode[] = [
  'column-count',
  'bad-quote',
  'encoding',
  'nul',
  'type',
  'required',
  'range',
  'length',
  'enum',
  'pattern',
  'json',
  'too-deep',
];

/** The reject code of a positive verdict. */
export function rejectCodeOf(value: Verdict): RejectCode {
  const code = codes[value - 1];
  if (code === undefined) throw new RangeError(`No reject code belongs to verdict ${value}.`);
  return code;
}

/** Judges the bytes from `start` to `end`, which are valid UTF-8 without NUL and not empty unless the type is text. */
export type CellCheck = (bytes: Buffer, start: number, end: number) => Verdict;
