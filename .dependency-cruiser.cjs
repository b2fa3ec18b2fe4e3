// The arrows between the parts (docs/architecture.md, "import table") as rules. Checked on every import, type imports included.
// Parses TypeScript with swc: TypeScript 7 has no programming interface for it.

/** Where each part may import from, besides itself and npm packages. */
const mayImport = {
  'packages/shared': [],
  'packages/process': ['packages/shared'],
  'packages/tabular': ['packages/shared'],
  'packages/sdk': ['packages/shared'],
  'packages/client': ['packages/shared'],
  'packages/react': ['packages/shared', 'packages/client'],
  'packages/store': ['packages/shared', 'packages/process'],
  'packages/redis': ['packages/shared', 'packages/process'],
  'packages/queue': ['packages/shared', 'packages/process'],
  'packages/storage': ['packages/shared', 'packages/process'],
  'packages/imports': ['packages/(shared|process|store|storage|tabular)'],
  flows: ['packages/shared', 'packages/sdk'],
  'apps/api': ['packages/(shared|process|store|redis|queue|storage|imports|sdk|tabular)', 'flows'],
  'apps/worker': ['packages/(shared|process|store|redis|queue|storage|imports|sdk|tabular)', 'flows'],
  'apps/console': ['packages/(shared|client|react)'],
  'apps/cli': ['packages/(shared|client)'],
};

/** Packages that only one part may know. */
const ownedPackages = {
  pg: ['packages/store'],
  'pg-copy-streams': ['packages/store'],
  ioredis: ['packages/redis', 'packages/queue'],
  bullmq: ['packages/queue'],
};

/** Tests, and what only tests of the same folder use. */
const tests = '(\\.test\\.tsx?$|/test-support/)';
const packageInsides = '^packages/[^/]+/src/';
const packageEntries = '^packages/[^/]+/src/index\\.ts$';
const ownCode = '^(apps|packages|flows|scripts|bench|test)/';

const arrows = Object.entries(mayImport).map(([part, others]) => ({
  name: `arrows-of-${part.replaceAll('/', '-')}`,
  comment: `${part} may import ${others.length === 0 ? 'no other part' : others.join(', ')}.`,
  severity: 'error',
  from: { path: `^${part}/`, pathNot: tests },
  to: { path: ownCode, pathNot: [part, ...others].map((name) => `^${name}/`) },
}));

const owners = Object.entries(ownedPackages).map(([name, parts]) => ({
  name: `${name}-only-in-its-package`,
  comment: `${name} is known to ${parts.join(' and ')} only.`,
  severity: 'error',
  from: { path: '^(apps|packages|flows|scripts)/', pathNot: [...parts.map((part) => `^${part}/`), '^packages/testing/', tests] },
  to: { path: `(^|/)node_modules/${name}/` },
}));

module.exports = {
  forbidden: [
    { name: 'no-circular', comment: 'No import cycles, through types neither.', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-deep-import-between-packages',
      comment: 'A package is used by others through its index.ts.',
      severity: 'error',
      from: { path: '^packages/([^/]+)/', pathNot: tests },
      to: { path: packageInsides, pathNot: ['^packages/$1/', packageEntries] },
    },
    {
      name: 'no-deep-import-into-packages',
      comment: 'A package is used by others through its index.ts.',
      severity: 'error',
      from: { path: '^(apps|flows|scripts)/', pathNot: tests },
      to: { path: packageInsides, pathNot: packageEntries },
    },
    {
      name: 'no-test-code-in-source',
      comment: 'Only tests and benchmarks use the test harness.',
      severity: 'error',
      from: { path: '^(apps|packages|flows|scripts)/', pathNot: [tests, '^packages/testing/'] },
      to: { path: [`^packages/testing/`, '^test/', '^bench/', tests] },
    },
    {
      name: 'nothing-imports-main',
      comment: 'main.ts is a composition root; what others need lies beside it.',
      severity: 'error',
      from: {},
      to: { path: '(^|/)main\\.ts$', pathNot: '^scripts/' },
    },
    { name: 'not-to-unresolvable', comment: 'Every import leads somewhere.', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'not-to-unlisted',
      comment: 'A package is listed in the package.json of the part that imports it.',
      severity: 'error',
      from: { path: '^(apps|packages|flows)/', pathNot: [tests, '^packages/testing/'] },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'unknown'] },
    },
    {
      name: 'no-orphans',
      comment: 'A file that nothing imports and that imports nothing is left over.',
      severity: 'error',
      from: { orphan: true, pathNot: ['\\.d\\.ts$', '(^|/)(main|index|[^/]*-main)\\.ts$', tests, '\\.mjs$', '^bench/', '^flows/'] },
      to: {},
    },
    ...arrows,
    ...owners,
  ],
  options: {
    parser: 'swc',
    doNotFollow: { path: 'node_modules' },
    // Our own build output only: npm packages keep their code in folders of that name, too.
    exclude: { path: ['^(apps|packages|flows)/[^/]+/dist/', '^\\.millrace/'] },
    tsPreCompilationDeps: true,
    combinedDependencies: false,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.tsx', '.mjs', '.js', '.json'],
    },
  },
};
