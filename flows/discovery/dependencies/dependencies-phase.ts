// Phase `dependencies`: what depends on what, how deep, in which circles, and what is left over or missing. It judges nothing.
import type { PhaseContext } from '@millrace/sdk';
import { z } from 'zod';
import { cleansingOutputSchema } from '../cleansing/cleansing-phase.ts';
import type { DiscoveryInput } from '../discovery-input.ts';
import { mappingOutputSchema } from '../mapping/mapping-phase.ts';
import { readItems } from '../read-items.ts';
import { createGraphBuilder, type DependencyGraph } from './dependency-graph.ts';
import { countDependents, distancesFromProject, findCycles, longestChain } from './graph-measures.ts';
import { strongComponents } from './strong-components.ts';

const countsSchema = z.object({ required: z.number().int(), optional: z.number().int(), peer: z.number().int() });
const samplesSchema = z.object({ count: z.number().int(), samples: z.array(z.string()) });

export const dependenciesOutputSchema = z.object({
  /** Whether dependencies were found by path, as Node finds them, or by name. */
  basis: z.enum(['path', 'name']),
  nodes: z.number().int(),
  edges: countsSchema,
  unresolved: countsSchema.extend({
    samples: z.array(
      z.object({ from: z.string(), name: z.string(), range: z.string().nullable(), kind: z.enum(['required', 'optional', 'peer']) }),
    ),
  }),
  /** A step that is a cycle shows its size. */
  longestChain: z.object({ length: z.number().int(), packages: z.array(z.string()) }),
  /** How many packages are how many steps from the project at least. Distance null: no dependency leads there. */
  byDistance: z.array(z.object({ distance: z.number().int().nullable(), count: z.number().int() })),
  cycles: z.object({
    count: z.number().int(),
    packages: z.number().int(),
    samples: z.array(z.object({ size: z.number().int(), packages: z.array(z.string()) })),
  }),
  mostDependedUpon: z.array(z.object({ package: z.string(), dependents: z.number().int() })),
  mostDependencies: z.array(z.object({ package: z.string(), dependencies: z.number().int() })),
  /** Nothing depends on them, also not as a peer, and the project does not ask for them itself. */
  orphans: samplesSchema,
});

export type DependenciesOutput = z.infer<typeof dependenciesOutputSchema>;

const LIST_MAX = 20;
const SAMPLES_MAX = 50;
const CYCLE_PACKAGES_MAX = 10;
const DISTANCES_MAX = 100;

const needsSchema = z.object({ mapping: mappingOutputSchema, cleansing: cleansingOutputSchema });

export async function runDependencies(ctx: PhaseContext<DiscoveryInput>): Promise<DependenciesOutput> {
  const { mapping, cleansing } = needsSchema.parse(ctx.outputs);
  const builder = createGraphBuilder();
  await readItems(
    ctx,
    { fields: mapping.fields, conventions: cleansing.conventions, progress: { from: 0, to: 0.8, doing: 'reading dependencies' } },
    builder.add,
  );
  ctx.progress(0.85, 'analysing the graph');
  const output = analyseGraph(builder.build());
  ctx.log.info(
    `${output.nodes} packages, longest chain ${output.longestChain.length}, ${output.cycles.count} cycles, ${output.orphans.count} orphans.`,
  );
  return output;
}

/** All measures of a graph, with lists cut to what a report can show. */
export function analyseGraph(graph: DependencyGraph): DependenciesOutput {
  const components = strongComponents(graph.targets);
  const dependents = countDependents(graph.targets);
  const label = (index: number) => graph.nodes[index]?.label ?? '';
  const chain = longestChain(graph.targets, components);
  const cycles = findCycles(graph.targets, components);
  return {
    basis: graph.basis,
    nodes: graph.nodes.length,
    edges: graph.edges,
    unresolved: { ...graph.unresolved, samples: [...graph.unresolvedSamples] },
    longestChain: {
      length: chain.length,
      packages: chain.steps
        .slice(0, SAMPLES_MAX)
        .map((step) => (step.length > 1 ? `${label(step[0] ?? 0)} (cycle of ${step.length})` : label(step[0] ?? 0))),
    },
    byDistance: countDistances(distancesFromProject(graph, dependents)),
    cycles: {
      count: cycles.length,
      packages: cycles.reduce((sum, cycle) => sum + cycle.length, 0),
      samples: cycles
        .slice(0, LIST_MAX)
        .map((cycle) => ({ size: cycle.length, packages: cycle.slice(0, CYCLE_PACKAGES_MAX).map(label).toSorted() })),
    },
    mostDependedUpon: largest([...dependents], label).map(([name, count]) => ({ package: name, dependents: count })),
    mostDependencies: largest(
      graph.targets.map((list) => list.length),
      label,
    ).map(([name, count]) => ({ package: name, dependencies: count })),
    orphans: findOrphans(graph, dependents),
  };
}

function countDistances(distances: Int32Array): DependenciesOutput['byDistance'] {
  const counts = new Map<number, number>();
  for (const distance of distances) counts.set(distance, (counts.get(distance) ?? 0) + 1);
  const unreached = counts.get(-1);
  const rows = [...counts]
    .filter(([distance]) => distance >= 0)
    .toSorted(([a], [b]) => a - b)
    .slice(0, DISTANCES_MAX);
  return [
    ...rows.map(([distance, count]) => ({ distance, count })),
    ...(unreached === undefined ? [] : [{ distance: null, count: unreached }]),
  ];
}

function largest(values: readonly number[], label: (index: number) => string): [string, number][] {
  const labelled = values.flatMap((count, index): [string, number][] => (count > 0 ? [[label(index), count]] : []));
  return labelled.toSorted(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1)).slice(0, LIST_MAX);
}

// Where nobody says what is direct, a package without dependents may well be what the project asked for: then only loners are orphans.
function findOrphans(graph: DependencyGraph, dependents: Uint32Array): DependenciesOutput['orphans'] {
  const directKnown = graph.nodes.some((node) => node.direct !== null);
  const orphans = graph.nodes.filter((node, index) => {
    if (node.own || node.direct === true || dependents[index] !== 0 || graph.peerDependents[index] !== 0) return false;
    return directKnown || graph.targets[index]?.length === 0;
  });
  return {
    count: orphans.length,
    samples: orphans
      .slice(0, SAMPLES_MAX)
      .map((node) => node.label)
      .toSorted(),
  };
}
