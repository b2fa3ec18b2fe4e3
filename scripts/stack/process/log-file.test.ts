// Bounded logs and their ends.
import { describe, expect, it } from '@jest/globals';
import { closeSync, existsSync, mkdtempSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { logTail, openLog, rotateLog } from './log-file.ts';

const root = temporaryFolder();

function logWith(text: string): { path: string; descriptor: number } {
  const path = join(mkdtempSync(join(root, 'test-')), 'x.log');
  const descriptor = openLog(path);
  writeSync(descriptor, text);
  return { path, descriptor };
}

describe('a log file', () => {
  it('moves what it holds to .1 and goes on from empty when it is over its limit, while the child has it open', () => {
    const { path, descriptor } = logWith('old\n'.repeat(10));
    expect(rotateLog(path, 20)).toBe(true);
    writeSync(descriptor, 'new\n');
    closeSync(descriptor);
    expect(readFileSync(path, 'utf8')).toBe('new\n');
    expect(readFileSync(`${path}.1`, 'utf8')).toBe('old\n'.repeat(10));
  });

  it('is left alone below its limit', () => {
    const { path, descriptor } = logWith('few\n');
    closeSync(descriptor);
    expect(rotateLog(path, 20)).toBe(false);
    expect(existsSync(`${path}.1`)).toBe(false);
  });

  it('shows the last lines of the latest run only', () => {
    const { path, descriptor } = logWith('before\n');
    const from = statSync(path).size;
    writeSync(descriptor, 'a\n\nb\nc\n');
    closeSync(descriptor);
    expect(logTail(path, 2, from)).toEqual(['b', 'c']);
    expect(logTail(path, 9, from)).toEqual(['a', 'b', 'c']);
  });

  it('has no lines when there is no file', () => {
    expect(logTail('/nonexistent/x.log', 5)).toEqual([]);
  });
});
