// The decisions of the bootstrap. It is plain JavaScript for old Nodes, hence the imports by address and the types written down here.
import { describe, expect, it } from '@jest/globals';

type Explain = (output: string, root: string) => { message: string; exitCode: number };
type Covers = (lockfile: unknown, record: unknown) => boolean;

const load = async (file: string): Promise<Record<string, unknown>> =>
  (await import(new URL(file, import.meta.url).href)) as Record<string, unknown>;
const failure = await load('./npm-failure.mjs');
const installed = await load('./installed-packages.mjs');

describe('explainNpmFailure', () => {
  const explain = failure['explainNpmFailure'] as Explain;
  it.each([
    ['npm error code ENOTFOUND\nnpm error network', 69, 'registry could not be reached'],
    ['npm ERR! code EAI_AGAIN', 69, 'registry could not be reached'],
    ['npm error code EACCES', 77, 'No permission'],
    ['npm error code ENOSPC', 74, 'disk is full'],
    ['npm error code 1\nnpm error ENOSPC: no space left on device, write', 74, 'disk is full'],
    ['npm error code EUSAGE', 78, 'do not agree'],
    ['npm error code E404', 70, 'npm ci failed (E404)'],
    ['', 70, 'npm ci failed.'],
  ])('%j ends with exit code %d', (output, exitCode, message) => {
    expect(explain(output, '/repo')).toEqual({ exitCode, message: expect.stringContaining(message) });
  });
});

describe('isOnlyMissingOtherPlatforms', () => {
  const isOnly = failure['isOnlyMissingOtherPlatforms'] as (output: string) => boolean;
  it.each([
    ['npm error Missing: @swc/core-darwin-arm64@ from lock file\nnpm error Missing: fsevents@ from lock file', true],
    ['npm error Missing: @swc/core-darwin-arm64@ from lock file\nnpm error Missing: zod@4.0.0 from lock file', false],
    ["npm error Invalid: lock file's zod@3.0.0 does not satisfy zod@4.0.0", false],
    ['npm error code EUSAGE', false],
  ])('%j: %j', (output, expected) => {
    expect(isOnly(output)).toBe(expected);
  });
});

describe('recordCoversLockfile', () => {
  const covers = installed['recordCoversLockfile'] as Covers;
  const lockfile = {
    packages: {
      '': { name: 'x' },
      'node_modules/a': { version: '1.0.0', integrity: 'i' },
      'node_modules/mac': { version: '1.0.0', optional: true },
    },
  };
  it.each([
    ['the same without what is optional', { packages: { 'node_modules/a': { version: '1.0.0', integrity: 'i' } } }, true],
    ['another version', { packages: { 'node_modules/a': { version: '1.0.1', integrity: 'i' } } }, false],
    ['other bytes', { packages: { 'node_modules/a': { version: '1.0.0', integrity: 'j' } } }, false],
    ['a missing package', { packages: {} }, false],
    ['no record', undefined, false],
  ])('%s', (_what, record, expected) => {
    expect(covers(lockfile, record)).toBe(expected);
  });
});
