// Builds the graph of an inventory: one node for each installed thing, one edge for each dependency that was found. How a name finds its
// node is decided by resolve-dependency.
import { itemLabel, type SoftwareItem } from '../software-item.ts';
import type { DependencyKind, DependencyRef } from './parse-dependency-list.ts';
import { createResolver, type GraphNode } from './resolve-dependency.ts';

type UnresolvedDependency = { from: string; name: string; range: string | null; kind: DependencyKind };

export type DependencyGraph = {
  basis: 'path' | 'name';
  nodes: readonly GraphNode[];
  /** By node: the nodes it depends on, required and optional ones, each once. Peers are no edges: they are met by somebody else. */
  targets: readonly (readonly number[])[];
  edges: Readonly<Record<DependencyKind, number>>;
  /** By node: how many packages name it as a peer. */
  peerDependents: Uint32Array;
  unresolved: Readonly<Record<DependencyKind, number>>;
  unresolvedSamples: readonly UnresolvedDependency[];
};

const UNRESOLVED_SAMPLES_MAX = 50;

type GraphBuilder = { add: (item: SoftwareItem) => void; build: () => DependencyGraph };

/** Items with the same path, or without paths with the same name and version, are one node. */
export function createGraphBuilder(): GraphBuilder {
  const nodes: GraphNode[] = [];
  const refs: (readonly DependencyRef[])[] = [];
  const indexByKey = new Map<string, number>();
  return {
    add(item) {
      const key = item.path ?? itemLabel(item).toLowerCase();
      const known = indexByKey.get(key);
      if (known !== undefined) {
        refs[known] = [...(refs[known] ?? []), ...item.dependencies];
        return;
      }
      indexByKey.set(key, nodes.length);
      nodes.push({ label: itemLabel(item), name: item.name, version: item.version, path: item.path, own: item.own, direct: item.direct });
      refs.push(item.dependencies);
    },
    build: () => connect(nodes, refs),
  };
}

function connect(nodes: readonly GraphNode[], refs: readonly (readonly DependencyRef[])[]): DependencyGraph {
  const resolver = createResolver(nodes);
  const edges = { required: 0, optional: 0, peer: 0 };
  const unresolved = { required: 0, optional: 0, peer: 0 };
  const unresolvedSamples: UnresolvedDependency[] = [];
  const peerDependents = new Uint32Array(nodes.length);
  const targets = nodes.map((node, index) => {
    const found = new Set<number>();
    for (const ref of dropRepeated(refs[index] ?? [])) {
      const target = resolver.resolve(node, ref);
      if (target === undefined) {
        unresolved[ref.kind] += 1;
        if (unresolvedSamples.length < UNRESOLVED_SAMPLES_MAX) unresolvedSamples.push({ from: node.label, ...ref });
        continue;
      }
      edges[ref.kind] += 1;
      if (ref.kind === 'peer') peerDependents[target] = (peerDependents[target] ?? 0) + 1;
      else found.add(target);
    }
    return [...found];
  });
  return { basis: resolver.basis, nodes, targets, edges, peerDependents, unresolved, unresolvedSamples };
}

// npm lists an optional dependency under both headings of a package.json; it is one dependency, and optional.
function dropRepeated(refs: readonly DependencyRef[]): DependencyRef[] {
  const byName = new Map<string, DependencyRef>();
  for (const ref of refs) {
    const known = byName.get(ref.name);
    if (known === undefined || (known.kind === 'required' && ref.kind === 'optional')) byName.set(ref.name, ref);
  }
  return [...byName.values()];
}
