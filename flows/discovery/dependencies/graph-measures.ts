// Measures of a dependency graph: longest chain, distance from the project, cycles, dependents. All without recursion.
import type { DependencyGraph } from './dependency-graph.ts';
import type { StrongComponents } from './strong-components.ts';

/** Packages of a cycle; of a chain, one for each step. Both by node. */
type Chain = { length: number; steps: readonly (readonly number[])[] };

/** The longest chain of dependencies. A cycle is one step, whatever its size, as otherwise there would be no longest. */
export function longestChain(targets: DependencyGraph['targets'], { members, componentOf }: StrongComponents): Chain {
  const lengths: number[] = [];
  const next: number[] = [];
  let best = -1;
  for (const [component, nodes] of members.entries()) {
    const successors = nodes.flatMap((node) => targets[node] ?? []).map((target) => componentOf[target] ?? -1);
    // Successors have lower numbers, so that their lengths are known by now.
    const longest = successors.reduce(
      (chosen, candidate) => (candidate !== component && lengthAt(lengths, candidate) > lengthAt(lengths, chosen) ? candidate : chosen),
      -1,
    );
    next.push(longest);
    lengths.push(lengthAt(lengths, longest) + 1);
    if (lengthAt(lengths, component) > lengthAt(lengths, best)) best = component;
  }
  const steps: (readonly number[])[] = [];
  for (let at = best; at !== -1; at = next[at] ?? -1) steps.push(members[at] ?? []);
  return { length: steps.length, steps };
}

function lengthAt(lengths: readonly number[], component: number): number {
  return lengths[component] ?? 0;
}

/** Components of more than one node, and nodes that depend on themselves. Largest first. */
export function findCycles(targets: DependencyGraph['targets'], components: StrongComponents): (readonly number[])[] {
  const cyclic = components.members.filter((members) => members.length > 1 || members.some((node) => targets[node]?.includes(node)));
  return cyclic.toSorted((a, b) => b.length - a.length);
}

/** By node: how many nodes depend on it, not counting itself. */
export function countDependents(targets: DependencyGraph['targets']): Uint32Array {
  const dependents = new Uint32Array(targets.length);
  for (const [from, list] of targets.entries())
    for (const target of list) if (target !== from) dependents[target] = (dependents[target] ?? 0) + 1;
  return dependents;
}

/**
 * By node: the fewest steps from the project, 1 for a direct dependency, 0 for a package of the project itself, -1 where nothing leads.
 * Starts at own and direct nodes; where neither is known, at what nothing depends on.
 */
export function distancesFromProject(graph: Pick<DependencyGraph, 'nodes' | 'targets'>, dependents: Uint32Array): Int32Array {
  const distance = new Int32Array(graph.nodes.length).fill(-1);
  const known = graph.nodes.some((node) => node.own || node.direct === true);
  const queue: number[] = [];
  const start = (at: number, wanted: (index: number) => boolean) => {
    for (const index of graph.nodes.keys()) {
      if (distance[index] !== -1 || !wanted(index)) continue;
      distance[index] = at;
      queue.push(index);
    }
  };
  start(0, (index) => graph.nodes[index]?.own === true);
  start(1, (index) => (known ? graph.nodes[index]?.direct === true : dependents[index] === 0));
  for (let head = 0; head < queue.length; head += 1) {
    const from = queue[head] ?? 0;
    for (const target of graph.targets[from] ?? []) {
      if (distance[target] !== -1) continue;
      distance[target] = (distance[from] ?? 0) + 1;
      queue.push(target);
    }
  }
  return distance;
}
