// Finds all flow definitions: the built-in ones, the selftest ones when they are switched on, and those in folders of the user's.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { createFlowRegistry, type FlowDefinition, type FlowRegistry } from '@millrace/sdk';
import { z } from 'zod';
import discovery from './discovery/index.ts';
import { SELFTEST_FLOWS } from './selftest/index.ts';

const MODULE_PATTERN = /\.(ts|mts|js|mjs)$/;
const TEST_PATTERN = /\.(test|int\.test|d)\.\w+$/;
const INDEX_NAMES = ['index.ts', 'index.mts', 'index.js', 'index.mjs'];

const definitionShape = z.object({
  name: z.string(),
  version: z.number(),
  input: z.custom<z.ZodType>((value) => value !== null && typeof value === 'object' && 'safeParse' in value, 'must be a zod schema'),
  phases: z.union([
    z.record(
      z.string(),
      z.union([
        z.object({ run: z.custom((value) => typeof value === 'function', 'must be a function') }).loose(),
        z.object({ waitFor: z.object({ signal: z.string() }).loose() }).loose(),
        z.object({ http: z.object({ url: z.unknown() }).loose() }).loose(),
      ]),
    ),
    z.custom((value) => typeof value === 'function'),
  ]),
});

/**
 * @param options.folders each file, and each sub-folder with an index file, must have a definition as its default export, or several as the
 *   named export `versions`, or both: flows keep the version they started with, so old ones stay beside the latest until they have ended
 * @throws Error naming the file or folder when a folder cannot be read, a module cannot be loaded or has no definition.
 */
export async function loadFlows(options: { folders: readonly string[]; selftest: boolean }): Promise<FlowRegistry> {
  const users = await Promise.all(options.folders.map((folder) => loadFolder(path.resolve(folder))));
  return createFlowRegistry([discovery, ...(options.selftest ? SELFTEST_FLOWS : []), ...users.flat()]);
}

async function loadFolder(folder: string): Promise<FlowDefinition[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const files: string[] = [];
  for (const entry of entries) {
    if (entry.isFile() && MODULE_PATTERN.test(entry.name) && !TEST_PATTERN.test(entry.name)) files.push(path.join(folder, entry.name));
    if (entry.isDirectory() && entry.name !== 'node_modules') files.push(...(await indexFile(path.join(folder, entry.name))));
  }
  return (await Promise.all(files.map((file) => loadFile(file)))).flat();
}

async function indexFile(folder: string): Promise<string[]> {
  const names = await readdir(folder);
  return INDEX_NAMES.filter((name) => names.includes(name))
    .slice(0, 1)
    .map((name) => path.join(folder, name));
}

async function loadFile(file: string): Promise<FlowDefinition[]> {
  const loaded = (await import(pathToFileURL(file).href).catch((error: unknown) => {
    throw new Error(`${file}: it cannot be loaded: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  })) as { default?: unknown; versions?: unknown };
  if (loaded.versions === undefined) return [checkedDefinition(loaded.default, `${file}: its default export`)];
  if (!Array.isArray(loaded.versions)) throw new Error(`${file}: its export "versions" is no list of flow definitions`);
  const versions = loaded.versions.map((version: unknown, index) => checkedDefinition(version, `${file}: versions[${index}]`));
  // The latest may be among them, or stand alone as the default.
  return loaded.default === undefined || loaded.versions.includes(loaded.default)
    ? versions
    : [checkedDefinition(loaded.default, `${file}: its default export`), ...versions];
}

function checkedDefinition(value: unknown, what: string): FlowDefinition {
  const checked = definitionShape.safeParse(value);
  if (!checked.success)
    throw new Error(
      `${what} is no flow definition: ${checked.error.issues[0]?.path.join('.') ?? ''} ${checked.error.issues[0]?.message ?? ''}`,
    );
  // The shape was just checked; what the handlers do with their input is the author's business.
  return value as FlowDefinition;
}
