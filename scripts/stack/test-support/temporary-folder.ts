// A folder for one test file, removed when its tests are over.
import { afterAll } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-test-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
