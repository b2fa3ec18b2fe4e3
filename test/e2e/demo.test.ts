// The main job as the demo runs it, on a real lockfile: inventory, import, discovery, report.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { ADMIN_KEY, createTestStack, type TestStack } from '@millrace/testing';
import { runDemo } from '../../scripts/demo/run-demo.ts';

const LOCKFILE = fileURLToPath(new URL('../../flows/discovery/fixtures/legacy/package-lock.json', import.meta.url));

let stack: TestStack;
let reports: string;

beforeAll(async () => {
  stack = await createTestStack();
  reports = await mkdtemp(path.join(tmpdir(), 'millrace-reports-'));
  await stack.startApi();
  await Promise.all([stack.startWorker(), stack.startWorker()]);
}, 60_000);

afterAll(async () => {
  await stack.close();
  await rm(reports, { recursive: true, force: true });
}, 60_000);

describe('the demo', () => {
  it('prints rows, phases and findings, and writes the whole report', async () => {
    let printed = '';
    const out = new Writable({
      write: (chunk, _encoding, done) => {
        printed += String(chunk);
        done();
      },
    });
    await runDemo({
      baseUrl: stack.client.baseUrl,
      adminKey: ADMIN_KEY,
      lockfilePath: LOCKFILE,
      out,
      signal: new AbortController().signal,
      reportsFolder: reports,
    });
    expect(printed).toMatch(/Rows imported\s+\d{3,} \(0 rejected\)/);
    for (const phase of ['mapping', 'cleansing', 'inventory', 'dependencies', 'debt', 'report'])
      expect(printed).toMatch(new RegExp(`${phase} \\d+ ms`));
    const [file] = await readdir(reports);
    const report = await readFile(path.join(reports, file ?? ''), 'utf8');
    expect(report).toContain('request');
    expect(report).toMatch(/deprecated/i);
  }, 60_000);
});
