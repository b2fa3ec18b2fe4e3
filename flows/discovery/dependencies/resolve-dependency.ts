// Finds the installed thing that a dependency means: like Node where paths are known, by name and range where they are not.
import semver from 'semver';
import type { DependencyRef } from './parse-dependency-list.ts';

export type GraphNode = { label: string; name: string; version: string | null; path: string | null; own: boolean; direct: boolean | null };

type Resolver = {
  /** `path` when at least half of the nodes have one. */
  basis: 'path' | 'name';
  /** The index of the node that is meant, or undefined. */
  resolve(from: GraphNode, ref: DependencyRef): number | undefined;
};

const MODULES = 'node_modules';

export function createResolver(nodes: readonly GraphNode[]): Resolver {
  const installed = nodes.filter((node) => node.path?.includes(MODULES)).length;
  return installed * 2 >= nodes.length && nodes.length > 0 ? createPathResolver(nodes) : createNameResolver(nodes);
}

/**
 * Node's own algorithm: from the package's folder upwards, the first node_modules that has the name
 * (Node.js documentation, "Loading from node_modules folders"). A package of the project itself is reached through
 * a link that inventories leave out, so own packages are looked up by name at last.
 */
function createPathResolver(nodes: readonly GraphNode[]): Resolver {
  const indexByPath = new Map<string, number>();
  const ownByName = new Map<string, number>();
  for (const [index, node] of nodes.entries()) {
    if (node.path !== null) indexByPath.set(node.path, index);
    if (node.own && !ownByName.has(node.name)) ownByName.set(node.name, index);
  }
  return {
    basis: 'path',
    resolve(from, ref) {
      for (const folder of modulesFolders(from.path ?? '')) {
        const found = indexByPath.get(`${folder}${ref.name}`);
        if (found !== undefined) return found;
      }
      return ownByName.get(ref.name);
    },
  };
}

function* modulesFolders(path: string): Generator<string> {
  for (let folder = path; folder !== ''; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/')))) {
    if (folder !== MODULES && !folder.endsWith(`/${MODULES}`)) yield `${folder}/${MODULES}/`;
  }
  yield `${MODULES}/`;
}

/** By name without regard to case. Of several versions the highest that the range allows, else the first listed. */
function createNameResolver(nodes: readonly GraphNode[]): Resolver {
  const indexesByName = new Map<string, number[]>();
  for (const [index, node] of nodes.entries()) {
    const key = node.name.toLowerCase();
    const indexes = indexesByName.get(key);
    if (indexes) indexes.push(index);
    else indexesByName.set(key, [index]);
  }
  const chosen = new Map<string, number | undefined>();
  return {
    basis: 'name',
    resolve(_from, ref) {
      const key = `${ref.name.toLowerCase()}\n${ref.range ?? ''}`;
      if (!chosen.has(key)) chosen.set(key, chooseVersion(nodes, indexesByName.get(ref.name.toLowerCase()) ?? [], ref.range));
      return chosen.get(key);
    },
  };
}

function chooseVersion(nodes: readonly GraphNode[], indexes: readonly number[], range: string | null): number | undefined {
  if (indexes.length < 2 || range === null) return indexes[0];
  const versions = new Map(
    indexes.flatMap((index) => (semver.valid(nodes[index]?.version ?? null) ? [[nodes[index]?.version ?? '', index] as const] : [])),
  );
  const best = semver.validRange(range) === null ? null : semver.maxSatisfying([...versions.keys()], range);
  return best === null ? indexes[0] : versions.get(best);
}
