// A child's log: the child itself writes into the file (so it lives on if the supervisor is killed), this keeps it bounded and reads its end.
import { closeSync, copyFileSync, fstatSync, openSync, readSync, statSync, truncateSync } from 'node:fs';
import { errorCode } from '../stack-fault.ts';

/** At this size a log is copied to `<path>.1` and emptied. */
const rotateAtBytes = 10 * 1024 * 1024;

/** Opens a log for appending; the descriptor is meant for a child's stdout and stderr. */
export function openLog(path: string): number {
  return openSync(path, 'a', 0o600);
}

/**
 * Rotates if the log is over 10 MiB, keeping one older file. Copy and truncate rather than rename, because the child holds the file open
 * (in append mode, so it goes on at the start); lines written between the two steps are lost.
 */
export function rotateLog(path: string, limitBytes = rotateAtBytes): boolean {
  if (logSizeBytes(path) <= limitBytes) return false;
  copyFileSync(path, `${path}.1`);
  truncateSync(path, 0);
  return true;
}

export function logSizeBytes(path: string): number {
  try {
    return statSync(path).size;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return 0;
    throw error;
  }
}

const tailBytes = 16 * 1024;

/** The last lines written at or after `fromByte` (default: the whole file), oldest first, for an error message. */
export function logTail(path: string, lineCount: number, fromByte = 0): string[] {
  if (logSizeBytes(path) === 0) return [];
  const descriptor = openSync(path, 'r');
  try {
    const size = fstatSync(descriptor).size;
    const start = Math.max(0, Math.min(fromByte, size), size - tailBytes);
    const buffer = Buffer.alloc(size - start);
    readSync(descriptor, buffer, 0, buffer.length, start);
    return buffer
      .toString('utf8')
      .split('\n')
      .filter((line) => line.trim() !== '')
      .slice(-lineCount);
  } finally {
    closeSync(descriptor);
  }
}
