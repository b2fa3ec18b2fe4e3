// One supervisor per state folder.
import { describe, expect, it } from '@jest/globals';
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { takeLock } from './lock-file.ts';
import { identify } from './process-identity.ts';

const root = temporaryFolder();

const newPath = (): string => join(mkdtempSync(join(root, 'test-')), 'lock');

describe('takeLock', () => {
  it('refuses a second holder, naming the first, and leaves the lock as it is', () => {
    const path = newPath();
    const lock = takeLock(path, 'http://127.0.0.1:8080');
    const held = readFileSync(path, 'utf8');
    expect(() => takeLock(path, '')).toThrow(
      expect.objectContaining({ kind: 'alreadyRunning', message: expect.stringContaining(`pid ${process.pid}, http://127.0.0.1:8080`) }),
    );
    expect(readFileSync(path, 'utf8')).toBe(held);
    lock.release();
    expect(readdirSync(dirname(path))).toEqual([]);
  });

  it.each([
    ['whose process is gone', { pid: 2 ** 30, startedAs: 'x' }],
    ['whose process id is in use by another program now', { pid: process.pid, startedAs: 'long ago' }],
  ])('takes over a lock %s', (_what, holder) => {
    const path = newPath();
    writeFileSync(path, JSON.stringify(holder));
    const lock = takeLock(path, '');
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject(identify(process.pid) ?? {});
    lock.release();
    expect(existsSync(path)).toBe(false);
  });

  it.each(['', '{{', '[]', '{"pid":"1"}'])('does not touch a file that is no lock: %j', (text) => {
    const path = newPath();
    writeFileSync(path, text);
    expect(() => takeLock(path, '')).toThrow(expect.objectContaining({ kind: 'corruptState' }));
    expect(readFileSync(path, 'utf8')).toBe(text);
  });

  it('does not release a lock that somebody else has taken over', () => {
    const path = newPath();
    const lock = takeLock(path, '');
    writeFileSync(path, 'theirs');
    lock.release();
    expect(readFileSync(path, 'utf8')).toBe('theirs');
  });
});
