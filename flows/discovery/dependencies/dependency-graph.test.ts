import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { SoftwareItem } from '../software-item.ts';
import { analyseGraph } from './dependencies-phase.ts';
import { createGraphBuilder, type DependencyGraph } from './dependency-graph.ts';
import { longestChain } from './graph-measures.ts';
import { parseDependencyList, type DependencyRef } from './parse-dependency-list.ts';
import { strongComponents } from './strong-components.ts';

type ItemParts = {
  name: string;
  version?: string;
  path?: string;
  needs?: string;
  optional?: string;
  peers?: string;
  own?: boolean;
  direct?: boolean;
};

function item({ name, version = '1.0.0', path, needs = '', optional = '', peers = '', own = false, direct }: ItemParts): SoftwareItem {
  const dependencies: DependencyRef[] = [
    ...parseDependencyList(needs, 'required'),
    ...parseDependencyList(optional, 'optional'),
    ...parseDependencyList(peers, 'peer'),
  ];
  const absent = {
    dev: null,
    optional: null,
    installScript: null,
    runtime: null,
    releasedAt: null,
    endOfLifeAt: null,
    homepage: null,
    vendor: null,
    owner: null,
    deprecated: null,
  };
  return {
    row: 1,
    name,
    version,
    versionKind: 'exact',
    license: { kind: 'missing', value: null },
    path: path ?? null,
    own,
    dependencies,
    direct: direct ?? null,
    keywords: [],
    ...absent,
  };
}

function build(parts: readonly ItemParts[]): DependencyGraph {
  const builder = createGraphBuilder();
  for (const part of parts) builder.add(item(part));
  return builder.build();
}

function edgesOf(graph: DependencyGraph): string[] {
  return graph.targets.flatMap((list, from) =>
    list.map((to) => `${graph.nodes[from]?.path ?? graph.nodes[from]?.label} -> ${graph.nodes[to]?.path ?? graph.nodes[to]?.label}`),
  );
}

describe('resolution by path', () => {
  it('takes the nearest node_modules upwards', () => {
    const graph = build([
      { name: 'a', path: 'node_modules/a', needs: 'b@^1; c@^1' },
      { name: 'b', path: 'node_modules/a/node_modules/b', needs: 'c@^1' },
      { name: 'b', version: '2.0.0', path: 'node_modules/b' },
      { name: 'c', path: 'node_modules/c', needs: 'b@^2' },
    ]);
    expect(graph.basis).toBe('path');
    expect(edgesOf(graph)).toEqual([
      'node_modules/a -> node_modules/a/node_modules/b',
      'node_modules/a -> node_modules/c',
      'node_modules/a/node_modules/b -> node_modules/c',
      'node_modules/c -> node_modules/b',
    ]);
  });

  it('does not look into a scope folder, a sibling or a child of a sibling', () => {
    const graph = build([
      { name: '@s/a', path: 'node_modules/@s/a', needs: 'x@1' },
      { name: 'x', path: 'node_modules/other/node_modules/x' },
      { name: 'x', path: 'node_modules/@s/b/node_modules/x' },
      { name: 'y', path: 'node_modules/y' },
    ]);
    expect(edgesOf(graph)).toEqual([]);
    expect(graph.unresolved).toEqual({ required: 1, optional: 0, peer: 0 });
    expect(graph.unresolvedSamples).toEqual([{ from: '@s/a@1.0.0', name: 'x', range: '1', kind: 'required' }]);
  });

  it("reaches the project's own packages by name, and resolves an alias by the folder it lies in", () => {
    const graph = build([
      { name: '@my/web', path: 'packages/web', own: true, needs: '@my/core; width-cjs@npm:width@^4' },
      { name: '@my/core', path: 'packages/core', own: true },
      { name: 'width', version: '4.0.0', path: 'node_modules/width-cjs' },
      { name: 'width', version: '5.0.0', path: 'node_modules/width' },
    ]);
    expect(edgesOf(graph)).toEqual(['packages/web -> packages/core', 'packages/web -> node_modules/width-cjs']);
  });

  it('counts a package that is required and optional once, as optional; peers are met but no edges', () => {
    const graph = build([
      { name: 'a', path: 'node_modules/a', needs: 'b; c', optional: 'c; gone', peers: 'd; missing' },
      { name: 'b', path: 'node_modules/b' },
      { name: 'c', path: 'node_modules/c' },
      { name: 'd', path: 'node_modules/d' },
    ]);
    expect(graph.edges).toEqual({ required: 1, optional: 1, peer: 1 });
    expect(graph.unresolved).toEqual({ required: 0, optional: 1, peer: 1 });
    expect([...graph.peerDependents]).toEqual([0, 0, 0, 1]);
  });
});

describe('resolution by name', () => {
  it('ignores case and picks the highest version that the range allows', () => {
    const graph = build([
      { name: 'Shop', needs: 'java (^11); tomcat' },
      { name: 'Java', version: '11.0.2' },
      { name: 'Java', version: '11.0.9' },
      { name: 'Java', version: '17.0.1' },
      { name: 'Tomcat', version: '9.0' },
    ]);
    expect(graph.basis).toBe('name');
    expect(edgesOf(graph)).toEqual(['Shop@1.0.0 -> Java@11.0.9', 'Shop@1.0.0 -> Tomcat@9.0']);
  });
});

describe('analyseGraph', () => {
  it('measures a diamond', () => {
    const result = analyseGraph(
      build([{ name: 'a', needs: 'b; c' }, { name: 'b', needs: 'd' }, { name: 'c', needs: 'd' }, { name: 'd' }, { name: 'alone' }]),
    );
    expect(result.longestChain).toEqual({ length: 3, packages: ['a@1.0.0', expect.stringMatching(/^[bc]@/), 'd@1.0.0'] });
    expect(result.cycles).toEqual({ count: 0, packages: 0, samples: [] });
    expect(result.mostDependedUpon[0]).toEqual({ package: 'd@1.0.0', dependents: 2 });
    expect(result.byDistance).toEqual([
      { distance: 1, count: 2 },
      { distance: 2, count: 2 },
      { distance: 3, count: 1 },
    ]);
    expect(result.orphans).toEqual({ count: 1, samples: ['alone@1.0.0'] });
  });

  it('finds cycles, a self-dependency included, and counts each as one step of a chain', () => {
    const result = analyseGraph(
      build([
        { name: 'top', needs: 'x' },
        { name: 'x', needs: 'y' },
        { name: 'y', needs: 'z; x' },
        { name: 'z', needs: 'x; end' },
        { name: 'end' },
        { name: 'me', needs: 'me' },
      ]),
    );
    expect(result.cycles).toEqual({
      count: 2,
      packages: 4,
      samples: [
        { size: 3, packages: ['x@1.0.0', 'y@1.0.0', 'z@1.0.0'] },
        { size: 1, packages: ['me@1.0.0'] },
      ],
    });
    expect(result.longestChain.length).toBe(3);
    expect(result.longestChain.packages[1]).toMatch(/^[xyz]@1\.0\.0 \(cycle of 3\)$/);
  });

  it('starts distances at own and direct packages, and calls orphan what nobody asked for', () => {
    const result = analyseGraph(
      build([
        { name: 'app', path: 'apps/app', own: true, direct: false, needs: 'a' },
        { name: 'a', path: 'node_modules/a', direct: true, needs: 'b' },
        { name: 'b', path: 'node_modules/b', direct: false },
        { name: 'left', path: 'node_modules/left', direct: false, needs: 'b' },
        { name: 'peer', path: 'node_modules/peer', direct: false },
        { name: 'tool', path: 'node_modules/tool', direct: true, peers: 'peer' },
      ]),
    );
    expect(result.orphans).toEqual({ count: 1, samples: ['left@1.0.0'] });
    expect(result.byDistance).toEqual([
      { distance: 0, count: 1 },
      { distance: 1, count: 2 },
      { distance: 2, count: 1 },
      { distance: null, count: 2 },
    ]);
  });

  it('survives a chain of 50,000 and a ring of 50,000', () => {
    const size = 50_000;
    const chain = Array.from({ length: size }, (_, index) => (index + 1 < size ? [index + 1] : []));
    const ring = Array.from({ length: size }, (_, index) => [(index + 1) % size]);
    expect(longestChain(chain, strongComponents(chain)).length).toBe(size);
    expect(strongComponents(ring).members).toHaveLength(1);
    const deep = analyseGraph(
      build(chain.map((targets, index) => ({ name: `p${index}`, needs: targets.map((target) => `p${target}`).join() }))),
    );
    expect(deep.longestChain).toMatchObject({ length: size, packages: expect.arrayContaining(['p0@1.0.0']) });
    expect(deep.longestChain.packages).toHaveLength(50);
  });
});

describe('strongComponents', () => {
  const graphs = fc
    .integer({ min: 1, max: 8 })
    .chain((size) => fc.array(fc.uniqueArray(fc.nat(size - 1)), { minLength: size, maxLength: size }));

  it('puts two nodes together exactly when each reaches the other, and successors first', () => {
    fc.assert(
      fc.property(graphs, (targets) => {
        const { componentOf } = strongComponents(targets);
        const reach = targets.map((_, from) => reachable(targets, from));
        for (const [a, fromA] of reach.entries()) {
          for (const [b, fromB] of reach.entries())
            expect(componentOf[a] === componentOf[b]).toBe(a === b || (fromA.has(b) && fromB.has(a)));
          for (const target of targets[a] ?? []) expect(componentOf[target]).toBeLessThanOrEqual(componentOf[a] ?? 0);
        }
      }),
    );
  });
});

function reachable(targets: readonly (readonly number[])[], from: number): Set<number> {
  const seen = new Set<number>();
  const open = [...(targets[from] ?? [])];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    open.push(...(targets[node] ?? []));
  }
  return seen;
}

describe('parseDependencyList', () => {
  it.each([
    [
      'a@^1.0.0; @s/b@~2.1; c',
      [
        ['a', '^1.0.0'],
        ['@s/b', '~2.1'],
        ['c', null],
      ],
    ],
    [
      'a@>=1 <2 || ^3; b',
      [
        ['a', '>=1 <2 || ^3'],
        ['b', null],
      ],
    ],
    [
      'Java SE, Apache Tomcat',
      [
        ['Java SE', null],
        ['Apache Tomcat', null],
      ],
    ],
    [
      'tomcat (9.0)\nmysql (8)',
      [
        ['tomcat', '9.0'],
        ['mysql', '8'],
      ],
    ],
    ['requests >=2.0', [['requests', '>=2.0']]],
    [
      '{"a":"^1","@s/b":"*"}',
      [
        ['a', '^1'],
        ['@s/b', '*'],
      ],
    ],
    [
      '["a@1","b"]',
      [
        ['a', '1'],
        ['b', null],
      ],
    ],
    ['none', []],
    ['  ', []],
  ])('reads %j', (text, expected) => {
    expect(parseDependencyList(text, 'required').map(({ name, range }) => [name, range])).toEqual(expected);
  });
});
