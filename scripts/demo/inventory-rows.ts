// Makes the rows of an inventory from a lockfile and from what the installed packages say: one for each entry but the root and links.
// Values stay as they are in the sources.
import { directPaths, isOwnPath } from './lockfile/direct-dependencies.ts';
import type { InstalledMetadata } from './lockfile/installed-metadata.ts';
import type { InventoryRow } from './inventory-dataset.ts';
import type { Lockfile, LockfileEntry } from './lockfile/read-lockfile.ts';

export type MetadataReader = (path: string) => Promise<InstalledMetadata>;

/** How many package.json files are read at a time. */
const READS_AT_ONCE = 32;

/** Rows in the order of the lockfile. */
export async function* inventoryRows(lockfile: Lockfile, readMetadata: MetadataReader): AsyncGenerator<InventoryRow> {
  const direct = directPaths(lockfile.packages);
  const entries = Object.entries(lockfile.packages).filter(([path, entry]) => path !== '' && entry.link !== true);
  for (let start = 0; start < entries.length; start += READS_AT_ONCE) {
    const some = entries.slice(start, start + READS_AT_ONCE);
    const metadata = await Promise.all(some.map(([path]) => readMetadata(path)));
    for (const [index, [path, entry]] of some.entries())
      yield inventoryRow({ path, entry, metadata: metadata[index] ?? {}, direct: direct.has(path) });
  }
}

type RowSources = { path: string; entry: LockfileEntry; metadata: InstalledMetadata; direct: boolean };

function inventoryRow({ path, entry, metadata, direct }: RowSources): InventoryRow {
  return {
    'Package Name': entry.name ?? nameInPath(path),
    'Ver.': entry.version ?? '',
    Licence: asWritten(entry.license ?? metadata.license ?? metadata.licenses),
    'Install Path': path,
    'Depends On': listRanges(entry.dependencies),
    'Optional Deps': listRanges(entry.optionalDependencies),
    'Peer Deps': listRanges(requiredPeers(entry)),
    Deprecated: typeof entry.deprecated === 'string' ? entry.deprecated : yesOrNothing(entry.deprecated),
    'Dev Only': yesOrNo(entry.dev),
    Optional: yesOrNo(entry.optional === true || entry.devOptional === true),
    'Directly Required': yesOrNo(direct),
    'Install Script': yesOrNothing(entry.hasInstallScript),
    'Required Node': nodeRange(entry.engines),
    Homepage: metadata.homepage ?? repositoryAddress(metadata.repository),
    Vendor: typeof metadata.author === 'string' ? metadata.author : (metadata.author?.name ?? ''),
    Keywords: (metadata.keywords ?? []).join(', '),
  };
}

// A workspace without a name is called after its folder, as npm does.
function nameInPath(path: string): string {
  return isOwnPath(path) ? path.slice(path.lastIndexOf('/') + 1) : path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
}

function asWritten(value: unknown): string {
  if (typeof value === 'string') return value;
  return value === undefined || value === null ? '' : JSON.stringify(value);
}

function listRanges(ranges: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(ranges ?? {})
    .map(([name, range]) => (range === '' ? name : `${name}@${range}`))
    .join('; ');
}

// A peer that is marked optional may be absent without anything being wrong.
function requiredPeers(entry: LockfileEntry): Record<string, string> {
  return Object.fromEntries(
    Object.entries(entry.peerDependencies ?? {}).filter(([name]) => entry.peerDependenciesMeta?.[name]?.optional !== true),
  );
}

function nodeRange(engines: unknown): string {
  if (typeof engines === 'object' && engines !== null && 'node' in engines && typeof engines.node === 'string') return engines.node;
  // Before npm 1.0 it was a list: ["node >= 0.6"].
  return Array.isArray(engines)
    ? (engines.find((entry): entry is string => typeof entry === 'string' && entry.startsWith('node')) ?? '')
    : '';
}

function yesOrNo(flag: boolean | undefined): string {
  return flag === true ? 'yes' : 'no';
}

function yesOrNothing(flag: boolean | undefined): string {
  return flag === true ? 'yes' : '';
}

function repositoryAddress(repository: InstalledMetadata['repository']): string {
  return typeof repository === 'string' ? repository : (repository?.url ?? '');
}
