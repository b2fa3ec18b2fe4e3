import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { buildInventory, csvChunks } from './build-inventory.ts';
import { DemoError } from './demo-error.ts';
import { INVENTORY_COLUMNS, type InventoryRow } from './inventory-dataset.ts';
import { inventoryRows } from './inventory-rows.ts';
import { readLockfile, type Lockfile } from './lockfile/read-lockfile.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'inventory-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function write(path: string, content: unknown): Promise<string> {
  const full = join(folder, path);
  await mkdir(dirname(full), { recursive: true });
  await writeFile(full, typeof content === 'string' ? content : JSON.stringify(content));
  return full;
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const lockfile: Lockfile = {
  lockfileVersion: 3,
  packages: {
    '': { name: 'root', dependencies: { a: '^1.0.0' }, devDependencies: { '@s/b': '*' } },
    'node_modules/a': {
      version: '1.0.0',
      license: 'MIT',
      dependencies: { c: '>=1 <2', d: '' },
      optionalDependencies: { e: '1' },
      peerDependencies: { f: '^1', g: '^2' },
      peerDependenciesMeta: { g: { optional: true } },
      engines: { node: '>= 18' },
    },
    'node_modules/@s/b': { version: '2.0.0', dev: true, hasInstallScript: true, deprecated: 'old, "very" old', engines: ['node >= 0.6'] },
    'node_modules/c': { version: '1.5.0', devOptional: true },
    'node_modules/web': { resolved: 'apps/web', link: true },
    'node_modules/x-alias': { name: 'x', version: '3.0.0' },
    'apps/web': { version: '0.1.0', dependencies: { c: '^1.0.0' } },
  },
};

describe('inventoryRows', () => {
  const rowsOf = async () =>
    Object.fromEntries((await collect(inventoryRows(lockfile, () => Promise.resolve({})))).map((row) => [row['Install Path'], row]));

  it('has a row for every entry but the root and links', async () => {
    expect(Object.keys(await rowsOf())).toEqual([
      'node_modules/a',
      'node_modules/@s/b',
      'node_modules/c',
      'node_modules/x-alias',
      'apps/web',
    ]);
  });

  it('writes values as they are in the lockfile', async () => {
    const rows = await rowsOf();
    expect(rows['node_modules/a']).toMatchObject({
      'Package Name': 'a',
      'Ver.': '1.0.0',
      'Depends On': 'c@>=1 <2; d',
      'Optional Deps': 'e@1',
      'Peer Deps': 'f@^1',
      'Required Node': '>= 18',
      'Dev Only': 'no',
    });
    expect(rows['node_modules/@s/b']).toMatchObject({
      'Package Name': '@s/b',
      Licence: '',
      Deprecated: 'old, "very" old',
      'Dev Only': 'yes',
      'Install Script': 'yes',
      'Required Node': 'node >= 0.6',
    });
    expect(rows['node_modules/x-alias']).toMatchObject({ 'Package Name': 'x' });
    expect(rows['apps/web']).toMatchObject({ 'Package Name': 'web' });
  });

  it('calls direct what the root or a workspace names', async () => {
    const rows = await rowsOf();
    expect(Object.entries(rows).map(([path, row]) => [path, row['Directly Required']])).toEqual([
      ['node_modules/a', 'yes'],
      ['node_modules/@s/b', 'yes'],
      ['node_modules/c', 'yes'],
      ['node_modules/x-alias', 'no'],
      ['apps/web', 'no'],
    ]);
  });
});

describe('buildInventory', () => {
  it('adds what installed packages say, and does without where nothing is installed', async () => {
    const path = await write('package-lock.json', lockfile);
    await write('node_modules/a/package.json', { homepage: 'https://a.example', author: { name: 'Ann' }, keywords: ['x', 'y'] });
    await write('node_modules/c/package.json', {
      licenses: [{ type: 'MIT' }],
      author: 'Bo <bo@example.org>',
      repository: { url: 'git+https://h/c.git' },
      keywords: 'wrong',
    });
    await write('node_modules/x-alias/package.json', 'not json');
    const { rowCount, csv } = await buildInventory(path);
    const lines = (await collect(csv)).join('').split('\r\n');
    expect(rowCount).toBe(5);
    expect(lines[0]).toBe(INVENTORY_COLUMNS.map((column) => column.header).join(','));
    expect(lines[1]).toBe('a,1.0.0,MIT,node_modules/a,c@>=1 <2; d,e@1,f@^1,,no,no,yes,,>= 18,https://a.example,Ann,"x, y"');
    expect(lines[2]).toBe('@s/b,2.0.0,,node_modules/@s/b,,,,"old, ""very"" old",yes,no,yes,yes,node >= 0.6,,,');
    expect(lines[3]).toBe('c,1.5.0,"[{""type"":""MIT""}]",node_modules/c,,,,,no,yes,yes,,,git+https://h/c.git,Bo <bo@example.org>,');
    expect(lines).toHaveLength(7);
  });

  it('streams in pieces, whatever the number of rows', async () => {
    const headers = INVENTORY_COLUMNS.map((column) => column.header);
    const row = Object.fromEntries(headers.map((header) => [header, 'x'.repeat(50)])) as InventoryRow;
    async function* many() {
      for (let index = 0; index < 1_000; index += 1) yield await Promise.resolve(row);
    }
    const chunks = await collect(csvChunks(many()));
    expect(chunks.length).toBeGreaterThan(10);
    expect(Math.max(...chunks.map((chunk) => chunk.length))).toBeLessThan(70_000);
    expect(chunks.join('').split('\r\n')).toHaveLength(1_002);
  });
});

describe('readLockfile', () => {
  it.each([
    ['no JSON', 'hello', 'is not JSON'],
    ['another JSON file', { name: 'x', version: '1.0.0' }, 'is not a package-lock.json of version 2 or 3'],
    ['version 1', { lockfileVersion: 1, dependencies: {} }, 'is a lockfile of version 1'],
    ['an entry of the wrong shape', { lockfileVersion: 3, packages: { 'node_modules/a': { version: 7 } } }, 'is not a package-lock.json'],
  ])('names the file when it is %s', async (_what, content, message) => {
    const path = await write('some.json', content);
    const error: unknown = await readLockfile(path).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DemoError);
    expect(String(error)).toContain(path);
    expect(String(error)).toContain(message);
  });

  it('names a file that is not there, and a folder', async () => {
    await expect(readLockfile(join(folder, 'gone.json'))).rejects.toThrow(`${join(folder, 'gone.json')} cannot be read (ENOENT)`);
    await expect(readLockfile(folder)).rejects.toThrow('cannot be read (EISDIR)');
  });
});
