// The result of reading a chunk or a part of one: COPY text, where each row came from, and the rejects.
// Leaves making them to row-reader.ts.

import { rejectCodeOf } from '../checks/verdict.ts';
import type { Reject, RejectCode } from '../types.ts';

export interface ChunkRows {
  /** Accepted rows; each is one line of `copyText`. */
  rowCount: number;
  /** COPY text (tab separated, `\N` null, every row ended by LF) in buffers of bounded size, each of whole rows. */
  copyText: Buffer[];
  /** Per accepted row: physical line, and where its record stands in the chunk (for `rawExcerpt`). */
  lines: number[];
  starts: number[];
  ends: number[];
  /** One per row that was not accepted, up to the limit; the counts are exact. */
  rejects: Reject[];
  rejectCount: number;
  rejectCounts: Partial<Record<RejectCode, number>>;
  /** Physical lines passed, blank ones included. */
  lineCount: number;
}

/** A part while it is being filled. */
export interface OpenPart {
  firstLine: number;
  lines: number[];
  starts: number[];
  ends: number[];
  rejects: Reject[];
  rejectCount: number;
  countByVerdict: number[];
}

export function startPart(firstLine: number): OpenPart {
  return { firstLine, lines: [], starts: [], ends: [], rejects: [], rejectCount: 0, countByVerdict: [] };
}

export function partOf(part: OpenPart, text: Buffer, nextLine: number): ChunkRows {
  const { lines, starts, ends, rejects, rejectCount } = part;
  const rejectCounts: Partial<Record<RejectCode, number>> = {};
  for (const [judged, count] of Object.entries(part.countByVerdict)) rejectCounts[rejectCodeOf(Number(judged))] = count;
  const copyText = text.length === 0 ? [] : [text];
  return {
    rowCount: lines.length,
    copyText,
    lines,
    starts,
    ends,
    rejects,
    rejectCount,
    rejectCounts,
    lineCount: nextLine - part.firstLine,
  };
}

function addCounts(parts: readonly ChunkRows[]): Partial<Record<RejectCode, number>> {
  const total: Partial<Record<RejectCode, number>> = {};
  for (const { rejectCounts } of parts) {
    for (const code of Object.keys(rejectCounts) as RejectCode[]) total[code] = (total[code] ?? 0) + (rejectCounts[code] ?? 0);
  }
  return total;
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

/** The parts of one chunk as one. */
export function mergeParts(parts: readonly ChunkRows[]): ChunkRows {
  return {
    rowCount: sum(parts.map(({ rowCount }) => rowCount)),
    copyText: parts.flatMap(({ copyText }) => copyText),
    lines: parts.flatMap(({ lines }) => lines),
    starts: parts.flatMap(({ starts }) => starts),
    ends: parts.flatMap(({ ends }) => ends),
    rejects: parts.flatMap(({ rejects }) => rejects),
    rejectCount: sum(parts.map(({ rejectCount }) => rejectCount)),
    rejectCounts: addCounts(parts),
    lineCount: sum(parts.map(({ lineCount }) => lineCount)),
  };
}
