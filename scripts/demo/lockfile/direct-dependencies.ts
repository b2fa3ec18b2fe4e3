// Which entries of a lockfile the project asks for itself: the dependencies of its root and of its workspaces.
import type { Lockfile, LockfileEntry } from './read-lockfile.ts';

const MODULES = 'node_modules/';

/** True for the project's own packages: the root and workspaces, which lie outside any node_modules. */
export function isOwnPath(path: string): boolean {
  return !path.startsWith(MODULES) && !path.includes(`/${MODULES}`);
}

/** Paths of all entries that a package of the project names in any kind of dependency. */
export function directPaths(packages: Lockfile['packages']): ReadonlySet<string> {
  const direct = new Set<string>();
  for (const [path, entry] of Object.entries(packages)) {
    if (!isOwnPath(path)) continue;
    for (const name of dependencyNames(entry)) {
      const found = nearestInstalled(packages, path, name);
      if (found !== undefined) direct.add(found);
    }
  }
  return direct;
}

function dependencyNames(entry: LockfileEntry): string[] {
  const { dependencies, devDependencies, optionalDependencies, peerDependencies } = entry;
  return Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies, ...peerDependencies });
}

function nearestInstalled(packages: Lockfile['packages'], from: string, name: string): string | undefined {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/')))) {
    const path = folder === '' ? `${MODULES}${name}` : `${folder}/${MODULES}${name}`;
    if (packages[path] !== undefined) return path;
    if (folder === '') return undefined;
  }
}
