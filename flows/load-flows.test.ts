import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { loadFlows } from './load-flows.ts';
import { SELFTEST_FLOWS } from './selftest/index.ts';

const flow = (name: string, version = 1) => `export default ${definition(name, version)};`;
const definition = (name: string, version: number) =>
  `{ name: '${name}', version: ${version}, input: { safeParse: () => ({ success: true }) }, phases: { only: { run: () => null } } }`;
const names = async (folders: string[], selftest = false) =>
  (await loadFlows({ folders, selftest })).list().map((definition) => definition.name);
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-flows-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function write(files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, name), text);
  }
}

describe('loadFlows', () => {
  it('knows the built-in flows, and the selftest ones only when they are switched on', async () => {
    expect(await names([])).toEqual(['discovery']);
    expect(await names([], true)).toEqual(['discovery', ...SELFTEST_FLOWS.map((definition) => definition.name)]);
  });

  it('finds each file, and each sub-folder with an index, in folders of the user', async () => {
    await write({
      'one.mjs': flow('one'),
      'two/index.mjs': flow('two'),
      'two/part.mjs': 'export const nothing = 1;',
      'empty/part.mjs': 'export const nothing = 1;',
    });
    expect((await names([folder])).toSorted()).toEqual(['discovery', 'one', 'two']);
  });

  it('passes over tests, declarations, other files and installed packages', async () => {
    await write({
      'one.test.mjs': 'throw new Error();',
      'one.int.test.mjs': 'throw new Error();',
      'one.d.ts': 'broken',
      'README.md': '#',
      'node_modules/index.mjs': 'throw new Error();',
    });
    expect(await names([folder])).toEqual(['discovery']);
  });

  it('names a folder that is not there', async () => {
    await expect(names([path.join(folder, 'absent')])).rejects.toThrow(path.join(folder, 'absent'));
  });

  it.each([
    ['no default export', 'export const flow = 1;', 'no flow definition'],
    ['no input schema', "export default { name: 'x', version: 1, phases: {} };", 'input'],
    ['a phase without a handler', "export default { name: 'x', version: 1, input: { safeParse() {} }, phases: { only: {} } };", 'phases'],
    ['a fault of its own', "throw new Error('out of order');", 'out of order'],
  ])('names a file that has %s', async (_, text, part) => {
    await write({ 'broken.mjs': text });
    const loading = names([folder]);
    await expect(loading).rejects.toThrow(path.join(folder, 'broken.mjs'));
    await expect(loading).rejects.toThrow(part);
  });

  it('keeps versions of one name side by side, from files of their own or from one', async () => {
    await write({
      'one.mjs': flow('one', 2),
      'one-v1.mjs': flow('one'),
      'two/index.mjs': `const latest = ${definition('two', 3)}; export default latest; export const versions = [${definition('two', 1)}, latest];`,
      'three.mjs': `${flow('three', 2)} export const versions = [${definition('three', 1)}];`,
      'four.mjs': `export const versions = [${definition('four', 1)}, ${definition('four', 2)}];`,
    });
    const found = (await loadFlows({ folders: [folder], selftest: false })).list().map(({ name, version }) => `${name}@${version}`);
    expect(found.filter((one) => !one.startsWith('discovery')).toSorted()).toEqual([
      'four@1',
      'four@2',
      'one@1',
      'one@2',
      'three@1',
      'three@2',
      'two@1',
      'two@3',
    ]);
  });

  it.each([
    ['no list', 'export const versions = 1;', 'no list of flow definitions'],
    ['a list with something else in it', 'export const versions = [{ name: 1 }];', 'versions[0] is no flow definition'],
  ])('refuses versions that are %s', async (_, text, part) => {
    await write({ 'broken.mjs': text });
    await expect(names([folder])).rejects.toThrow(part);
  });

  it('refuses one name twice, a built-in one included', async () => {
    await write({ 'one.mjs': flow('discovery') });
    await expect(names([folder])).rejects.toThrow('flow "discovery" is defined twice');
  });
});
