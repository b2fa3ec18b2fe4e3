// Finds the first record of a CSV file before its delimiter is known: where it ends, which line end and delimiter it uses.
// Leaves splitting it into cells to csv-record.ts and everything after it to csv-boundaries.ts.

import type { LineEnd } from '../types.ts';

/** In order of preference when counts are equal. */
const candidates = [',', ';', '\t', '|'].map((character) => character.charCodeAt(0));
const lineFeed = 0x0a;
const carriageReturn = 0x0d;

export interface CsvHead {
  /** The first record without its line end. */
  start: number;
  end: number;
  /** First byte after its line end. */
  next: number;
  /** Physical line where it starts, counted from 1 at `from`; and the line of `next`. */
  line: number;
  nextLine: number;
  lineEnd: LineEnd;
  delimiter: number;
  /** The record stops inside quotes. */
  isOpen: boolean;
}

export interface FindHeadInput {
  bytes: Buffer;
  from: number;
  /** Byte values; -1 for none. */
  quote: number;
  escape: number;
  delimiter: number;
  /** Whether no more bytes follow. */
  isWhole: boolean;
}

interface Stretch {
  bytes: Buffer;
  start: number;
  end: number;
  lineEnd: LineEnd;
}

/** Physical line breaks inside a stretch: LF; and in files whose records end in CR also CR, where CRLF counts once. */
function countLineBreaks({ bytes, start, end, lineEnd }: Stretch): number {
  let count = 0;
  for (let p = start; p < end; p++) {
    if (bytes[p] === lineFeed) count++;
    else if (lineEnd === 'cr' && bytes[p] === carriageReturn && bytes[p + 1] !== lineFeed) count++;
  }
  return count;
}

function chooseDelimiter(counts: Map<number, number>): number {
  let best = candidates[0] as number;
  for (const candidate of candidates) {
    if ((counts.get(candidate) ?? 0) > (counts.get(best) ?? 0)) best = candidate;
  }
  return best;
}

/** Skips blank lines; null when nothing else is there. A lone CR ends a blank line too. */
function skipBlankLines(input: FindHeadInput): { start: number; line: number } | null {
  const { bytes, delimiter } = input;
  let line = 1;
  let start = input.from;
  for (let p = input.from; p < bytes.length; p++) {
    const byte = bytes[p];
    const isBreak = byte === lineFeed || (byte === carriageReturn && bytes[p + 1] !== lineFeed);
    if (isBreak) {
      line++;
      start = p + 1;
    } else if ((byte !== 0x20 && byte !== 0x09 && byte !== carriageReturn && byte !== 0x1a) || byte === delimiter) {
      return { start, line };
    }
  }
  return null;
}

/** Walks to the first line end outside quotes, by the same rule as csv-boundaries.ts, counting what may separate cells. */
function findEnd(input: FindHeadInput, start: number) {
  const { bytes, quote, escape, delimiter } = input;
  const counts = new Map<number, number>();
  let isQuoted = false;
  let isCellStart = true;
  let p = start;
  for (; p < bytes.length; p++) {
    const byte = bytes[p] as number;
    if (isQuoted) {
      const isEscape = byte === escape && (bytes[p + 1] === quote || bytes[p + 1] === escape);
      if (isEscape) p++;
      else if (byte === quote) isQuoted = false;
      continue;
    }
    if (byte === lineFeed || byte === carriageReturn) break;
    isQuoted = byte === quote && isCellStart;
    isCellStart = delimiter === -1 ? candidates.includes(byte) : byte === delimiter;
    if (isCellStart) counts.set(byte, (counts.get(byte) ?? 0) + 1);
  }
  return { end: Math.min(p, bytes.length), isOpen: isQuoted, counts };
}

/** 'more' when the record does not end in these bytes and more may follow; 'blank' when there is none. */
export function findCsvHead(input: FindHeadInput): CsvHead | 'more' | 'blank' {
  const { bytes, isWhole } = input;
  const first = skipBlankLines(input);
  if (first === null) return isWhole ? 'blank' : 'more';
  const { end, isOpen, counts } = findEnd(input, first.start);
  // After a CR the next byte decides whether it is half of a CRLF.
  const isCut = end >= bytes.length || (bytes[end] === carriageReturn && end + 1 >= bytes.length);
  if (isCut && !isWhole) return 'more';
  const hasCr = bytes[end] === carriageReturn;
  const hasCrLf = hasCr && bytes[end + 1] === lineFeed;
  const next = Math.min(bytes.length, end + (hasCrLf ? 2 : 1));
  const lineEnd = hasCr && !hasCrLf ? 'cr' : 'lf';
  return {
    start: first.start,
    end,
    next,
    line: first.line,
    nextLine: first.line + countLineBreaks({ bytes, start: first.start, end, lineEnd }) + 1,
    lineEnd,
    delimiter: input.delimiter === -1 ? chooseDelimiter(counts) : input.delimiter,
    isOpen,
  };
}
