// The report must be right: two real lockfiles go through the demonstration's own rows and all phases of `discovery`, and every expected
// value below was found in the lockfile itself, never computed by the code under test. With L the lockfile, the jq lines were:
//   entry        jq '.packages["node_modules/NAME"]' $L
//   copies       jq -c '[.packages|to_entries[]|select(.key|endswith("node_modules/NAME"))|[.key,.value.version]]' $L
//   dependents   jq -c '[.packages|to_entries[]|select(.key!="")|select((.value.dependencies//{})["NAME"] or (.value.optionalDependencies//{})["NAME"])|.key]' $L
//                (where there are several copies, those that have a nearer copy were struck out by hand)
//   direct       jq '.packages[""]|.dependencies,.devDependencies' $L, and the same for every workspace
//   distance     a breadth-first search by a separate script of thirty lines in Python; the way it found is in the comment of each line,
//                and each step of it stands in the dependencies of the entry before. The same script counted direct and transitive ones.
//   licences     jq -r '.packages[].license' $L | sort | uniq -c
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { createRowCleaner } from '../../flows/discovery/cleansing/clean-row.ts';
import { createGraphBuilder, type DependencyGraph } from '../../flows/discovery/dependencies/dependency-graph.ts';
import { countDependents, distancesFromProject } from '../../flows/discovery/dependencies/graph-measures.ts';
import discovery from '../../flows/discovery/index.ts';
import { reportOutputSchema, type ReportOutput } from '../../flows/discovery/report/report-phase.ts';
import type { SoftwareItem } from '../../flows/discovery/software-item.ts';
import { runPhases, type TestRow } from '../../flows/discovery/testing/run-phases.ts';
import { INVENTORY_COLUMNS } from './inventory-dataset.ts';
import { inventoryRows } from './inventory-rows.ts';
import { readLockfile } from './lockfile/read-lockfile.ts';

const FIXTURES = join(import.meta.dirname, '..', '..', 'flows', 'discovery', 'fixtures');

type Discovered = {
  report: ReportOutput['json'];
  byPath: Map<string, SoftwareItem>;
  graph: DependencyGraph;
  dependents: Uint32Array;
  distances: Int32Array;
};

async function discover(fixture: string): Promise<Discovered> {
  const rows: TestRow[] = [];
  const lockfile = await readLockfile(join(FIXTURES, fixture, 'package-lock.json'));
  for await (const row of inventoryRows(lockfile, () => Promise.resolve({}))) {
    rows.push(Object.fromEntries(INVENTORY_COLUMNS.map(({ header, column }) => [column, row[header] === '' ? null : row[header]])));
  }
  const run = await runPhases({ definition: discovery, input: { importId: '019f0000-0000-7000-8000-000000000000' }, rows });
  const report = reportOutputSchema.parse(run.outputs['report']).json;
  const clean = createRowCleaner({ fields: report.mapping.fields, conventions: report.cleansing.conventions, note: () => undefined });
  const items = rows.flatMap((row, index) => clean(row, index + 1) ?? []);
  const builder = createGraphBuilder();
  items.forEach(builder.add);
  const graph = builder.build();
  const dependents = countDependents(graph.targets);
  return {
    report,
    byPath: new Map(items.map((item) => [item.path ?? '', item])),
    graph,
    dependents,
    distances: distancesFromProject(graph, dependents),
  };
}

type Expected = {
  path: string;
  name: string;
  version: string;
  license: string | null;
  use: 'runtime' | 'dev' | 'optional';
  direct: boolean;
  dependents: number;
  distance: number;
  deprecated?: boolean;
};

function facts({ byPath, graph, dependents, distances }: Discovered, path: string): Expected {
  const item = byPath.get(path);
  const node = graph.nodes.findIndex((candidate) => candidate.path === path);
  if (item === undefined) throw new Error(`${path} is not in the inventory`);
  return {
    path,
    name: item.name,
    version: item.version ?? '',
    license: item.license.value,
    use: item.dev === true ? 'dev' : item.optional === true ? 'optional' : 'runtime',
    direct: item.direct === true,
    dependents: dependents[node] ?? -1,
    distance: distances[node] ?? -1,
    ...(item.deprecated === null ? {} : { deprecated: true }),
  };
}

describe("a small shop's lockfile of 2021", () => {
  let shop: Discovered;
  beforeAll(async () => {
    shop = await discover('legacy');
  });

  it.each<Expected>([
    // In the root's dependencies; node-sass and node-gyp name it.
    {
      path: 'node_modules/request',
      name: 'request',
      version: '2.88.2',
      license: 'Apache-2.0',
      use: 'runtime',
      direct: true,
      dependents: 2,
      distance: 1,
      deprecated: true,
    },
    // request -> har-validator.
    {
      path: 'node_modules/har-validator',
      name: 'har-validator',
      version: '5.1.5',
      license: 'MIT',
      use: 'runtime',
      direct: false,
      dependents: 1,
      distance: 2,
      deprecated: true,
    },
    // node-sass -> glob; nine packages name it and there is one copy.
    {
      path: 'node_modules/glob',
      name: 'glob',
      version: '7.1.6',
      license: 'ISC',
      use: 'runtime',
      direct: false,
      dependents: 9,
      distance: 2,
      deprecated: true,
    },
    // In the root's dependencies; only request names it.
    {
      path: 'node_modules/uuid',
      name: 'uuid',
      version: '3.4.0',
      license: 'MIT',
      use: 'runtime',
      direct: true,
      dependents: 1,
      distance: 1,
      deprecated: true,
    },
    // Written "(MIT OR GPL-3.0-or-later)".
    {
      path: 'node_modules/jszip',
      name: 'jszip',
      version: '3.10.2',
      license: 'MIT OR GPL-3.0-or-later',
      use: 'runtime',
      direct: true,
      dependents: 0,
      distance: 1,
    },
    // jszip -> pako; written "(MIT AND Zlib)".
    {
      path: 'node_modules/pako',
      name: 'pako',
      version: '1.0.11',
      license: 'MIT AND Zlib',
      use: 'runtime',
      direct: false,
      dependents: 1,
      distance: 2,
    },
    // request -> http-signature -> jsprim -> json-schema; written "(AFL-2.1 OR BSD-3-Clause)".
    {
      path: 'node_modules/json-schema',
      name: 'json-schema',
      version: '0.4.0',
      license: 'AFL-2.1 OR BSD-3-Clause',
      use: 'runtime',
      direct: false,
      dependents: 1,
      distance: 4,
    },
    // node-sass -> async-foreach; the only entry without a licence.
    {
      path: 'node_modules/async-foreach',
      name: 'async-foreach',
      version: '0.1.3',
      license: null,
      use: 'runtime',
      direct: false,
      dependents: 1,
      distance: 2,
    },
    // In the root's devDependencies.
    {
      path: 'node_modules/eslint',
      name: 'eslint',
      version: '7.32.0',
      license: 'MIT',
      use: 'dev',
      direct: true,
      dependents: 0,
      distance: 1,
      deprecated: true,
    },
    // In the root's devDependencies; the two that need rimraf, flat-cache and node-gyp, have copies of their own.
    {
      path: 'node_modules/rimraf',
      name: 'rimraf',
      version: '2.7.1',
      license: 'ISC',
      use: 'dev',
      direct: true,
      dependents: 0,
      distance: 1,
      deprecated: true,
    },
    // eslint -> file-entry-cache -> flat-cache -> its own rimraf.
    {
      path: 'node_modules/flat-cache/node_modules/rimraf',
      name: 'rimraf',
      version: '3.0.2',
      license: 'ISC',
      use: 'dev',
      direct: false,
      dependents: 1,
      distance: 4,
      deprecated: true,
    },
    // node-sass -> meow -> its own type-fest, one of four versions.
    {
      path: 'node_modules/meow/node_modules/type-fest',
      name: 'type-fest',
      version: '0.18.1',
      license: 'MIT OR CC0-1.0',
      use: 'runtime',
      direct: false,
      dependents: 1,
      distance: 3,
    },
    // eslint -> strip-ansi; fifteen name it, the nine that ask for ^6 get this copy, the others have older ones of their own.
    {
      path: 'node_modules/strip-ansi',
      name: 'strip-ansi',
      version: '6.0.1',
      license: 'MIT',
      use: 'dev',
      direct: false,
      dependents: 9,
      distance: 2,
    },
    // express -> safe-buffer; seven name it, readable-stream and string_decoder have 5.1.2 of their own.
    {
      path: 'node_modules/safe-buffer',
      name: 'safe-buffer',
      version: '5.2.1',
      license: 'MIT',
      use: 'runtime',
      direct: false,
      dependents: 5,
      distance: 2,
    },
  ])('knows $path', (expected) => {
    expect(facts(shop, expected.path)).toEqual(expected);
  });

  it('counts what there is', () => {
    // jq '[.packages|to_entries[]|select(.key!="" and (.value.link|not))]|length', and the same with .value.dev; ten names in the root.
    expect(shop.report.inventory).toMatchObject({
      items: 426,
      byUse: { runtime: 294, development: 132, optional: 0, unknown: 0 },
      byReach: { own: 0, direct: 10, transitive: 416 },
    });
    expect(shop.report.inventory.byLicense.top.slice(0, 4).map(({ key, count }) => [key, count])).toEqual([
      ['MIT', 316],
      ['ISC', 55],
      ['Apache-2.0', 16],
      ['BSD-3-Clause', 14],
    ]);
    expect(shop.report.dependencies.unresolved).toMatchObject({ required: 0, optional: 0, peer: 0 });
  });

  it('finds what needs attention', () => {
    const found = (rule: string) => shop.report.debt.findings.find((finding) => finding.rule === rule);
    // jq -r '.packages|to_entries[]|select(.value.deprecated)|.key': twelve paths, five of them in the root's lists.
    expect(
      found('deprecated-direct')
        ?.packages.map((entry) => entry.package)
        .toSorted(),
    ).toEqual(['eslint@7.32.0', 'node-sass@6.0.1', 'request@2.88.2', 'rimraf@2.7.1', 'uuid@3.4.0']);
    expect(
      found('deprecated-transitive')
        ?.packages.map((entry) => entry.package)
        .toSorted(),
    ).toEqual([
      '@humanwhocodes/config-array@0.5.0',
      '@humanwhocodes/object-schema@1.2.1',
      'glob@7.1.6',
      'har-validator@5.1.5',
      'inflight@1.0.6',
      'rimraf@3.0.2',
      'rimraf@3.0.2',
    ]);
    expect(found('license-missing')?.packages).toEqual([{ package: 'async-foreach@0.1.3', detail: null }]);
    expect(found('license-restricted')).toBeUndefined();
    // The copies line for type-fest and rimraf.
    expect(found('several-major-versions')?.packages).toContainEqual({
      package: 'type-fest',
      detail: '0.6.0, 0.8.1, 0.18.1, 0.20.2 (4 copies)',
    });
    expect(found('several-major-versions')?.packages).toContainEqual({ package: 'rimraf', detail: '2.7.1, 3.0.2 (3 copies)' });
    expect(found('several-versions')?.packages).toContainEqual({ package: 'safe-buffer', detail: '5.1.2, 5.2.1 (3 copies)' });
    // jq '.packages|to_entries[]|select(.value.hasInstallScript)|.key'
    expect(found('install-script')?.packages.map((entry) => entry.package)).toEqual(['node-sass@6.0.1']);
    expect(shop.report.debt.findings.map(({ severity }) => severity)).toEqual([
      'high',
      'medium',
      'medium',
      'medium',
      'low',
      'info',
      'info',
    ]);
  });
});

describe("this repository's lockfile of 20 November 2026", () => {
  let own: Discovered;
  beforeAll(async () => {
    own = await discover('millrace');
  });

  it.each<Expected>([
    // @jest/globals, in the root's devDependencies, -> @jest/types; 25 name it and there is one copy.
    {
      path: 'node_modules/@jest/types',
      name: '@jest/types',
      version: '30.5.1',
      license: 'MIT',
      use: 'dev',
      direct: false,
      dependents: 25,
      distance: 2,
    },
    // packages/queue names it, nobody else.
    {
      path: 'node_modules/bullmq',
      name: 'bullmq',
      version: '6.7.0',
      license: 'MIT',
      use: 'runtime',
      direct: true,
      dependents: 1,
      distance: 1,
    },
    // bullmq -> its own semver.
    {
      path: 'node_modules/bullmq/node_modules/semver',
      name: 'semver',
      version: '7.8.5',
      license: 'ISC',
      use: 'runtime',
      direct: false,
      dependents: 1,
      distance: 2,
    },
    // dependency-cruiser -> semver; seven name it, three of them have copies of their own.
    {
      path: 'node_modules/semver',
      name: 'semver',
      version: '7.8.1',
      license: 'ISC',
      use: 'dev',
      direct: false,
      dependents: 4,
      distance: 2,
    },
    // jest -> @jest/core -> ansi-escapes -> type-fest; written "(MIT OR CC0-1.0)".
    {
      path: 'node_modules/type-fest',
      name: 'type-fest',
      version: '0.21.3',
      license: 'MIT OR CC0-1.0',
      use: 'dev',
      direct: false,
      dependents: 1,
      distance: 4,
    },
    // jest -> @jest/core -> pretty-format -> react-is under another name.
    {
      path: 'node_modules/@jest/react-is-18',
      name: 'react-is',
      version: '18.3.1',
      license: 'MIT',
      use: 'dev',
      direct: false,
      dependents: 1,
      distance: 4,
    },
    // pg -> pg-cloudflare, in its optionalDependencies.
    {
      path: 'node_modules/pg-cloudflare',
      name: 'pg-cloudflare',
      version: '1.4.1',
      license: 'MIT',
      use: 'optional',
      direct: false,
      dependents: 1,
      distance: 2,
    },
    // In the root's devDependencies, and devOptional.
    {
      path: 'node_modules/typescript',
      name: 'typescript',
      version: '7.0.2',
      license: 'Apache-2.0',
      use: 'optional',
      direct: true,
      dependents: 0,
      distance: 1,
    },
    // @jest/globals -> @jest/expect -> jest-snapshot -> @babel/core -> @babel/helper-compilation-targets -> browserslist -> caniuse-lite.
    {
      path: 'node_modules/caniuse-lite',
      name: 'caniuse-lite',
      version: '1.0.30001826',
      license: 'CC-BY-4.0',
      use: 'dev',
      direct: false,
      dependents: 1,
      distance: 7,
    },
    // A workspace: nobody names it yet.
    {
      path: 'packages/queue',
      name: '@millrace/queue',
      version: '0.1.0',
      license: 'MIT',
      use: 'runtime',
      direct: false,
      dependents: 0,
      distance: 0,
    },
  ])('knows $path', (expected) => {
    expect(facts(own, expected.path)).toEqual(expected);
  });

  it('counts what there is, links and the root left out', () => {
    // 582 entries less the root and twelve links; twelve workspaces; the dev, optional and devOptional flags as jq counts them.
    expect(own.report.inventory).toMatchObject({
      items: 569,
      byUse: { runtime: 136, development: 406, optional: 27, unknown: 0 },
      byReach: { own: 12, direct: 32, transitive: 525, unknown: 0 },
    });
    expect(own.report.inventory.byLicense.top.slice(0, 3).map(({ key, count }) => [key, count])).toEqual([
      ['MIT', 467],
      ['ISC', 40],
      ['Apache-2.0', 34],
    ]);
    expect(own.report.dependencies.mostDependedUpon.slice(0, 3)).toEqual([
      { package: '@jest/types@30.5.1', dependents: 25 },
      { package: '@types/node@24.19.2', dependents: 23 },
      { package: 'chalk@4.1.2', dependents: 22 },
    ]);
    // jq lists four copies of semver in three versions.
    expect(own.report.debt.findings[0]?.packages[0]).toEqual({ package: 'semver', detail: '6.3.2, 7.8.1, 7.8.5 (4 copies)' });
  });
});
