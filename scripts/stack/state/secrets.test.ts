// Secrets of a state folder.
import { describe, expect, it } from '@jest/globals';
import { chmodSync, mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { keepAdminKey } from './secrets.ts';
import { openStateFolder, type StateFolder } from './state-folder.ts';

const root = temporaryFolder();

const newFolder = (): StateFolder => openStateFolder(mkdtempSync(join(root, 'test-')));

describe('keepAdminKey', () => {
  it('makes a key once and keeps it, readable by its owner only', () => {
    const folder = newFolder();
    const made = keepAdminKey(folder);
    expect(made).toEqual({ key: expect.stringMatching(/^mr_[A-Za-z0-9_-]{40}$/), isNew: true });
    chmodSync(folder.adminKey, 0o644);
    expect(keepAdminKey(folder)).toEqual({ key: made.key, isNew: false });
    expect(statSync(folder.adminKey).mode & 0o777).toBe(0o600);
  });

  it('does not replace a file that holds no key', () => {
    const folder = newFolder();
    writeFileSync(folder.adminKey, 'x\n');
    expect(() => keepAdminKey(folder)).toThrow(expect.objectContaining({ kind: 'corruptState' }));
  });
});
