// One jest configuration for every level: unit (*.test.ts), integration (*.int.test.ts), end to end (test/e2e), faults (test/faults).
// Types are checked by `npm run check`; here swc only strips them.
import type { Config } from 'jest';

const shared = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': ['@swc/jest', { jsc: { target: 'es2024', parser: { syntax: 'typescript' } }, module: { type: 'es6' } }],
  },
  modulePathIgnorePatterns: ['<rootDir>/.millrace/'],
} satisfies Config;

const config: Config = {
  // No test measures time by it: it only ends what hangs, on however slow a machine.
  testTimeout: 30_000,
  // Most tests wait for servers and processes rather than compute.
  maxWorkers: 2,
  // BullMQ keeps a timer of a worker that was closed while Redis was away, and there is no call that ends it.
  forceExit: true,
  projects: [
    {
      ...shared,
      displayName: 'unit',
      testMatch: ['<rootDir>/{apps,packages,flows,scripts,bench}/**/*.test.ts'],
      testPathIgnorePatterns: ['/node_modules/', '\\.int\\.test\\.ts$'],
    },
    { ...shared, displayName: 'int', testMatch: ['<rootDir>/{apps,packages,flows,scripts}/**/*.int.test.ts'] },
    { ...shared, displayName: 'e2e', testMatch: ['<rootDir>/test/e2e/**/*.test.ts'] },
    { ...shared, displayName: 'faults', testMatch: ['<rootDir>/test/faults/**/*.test.ts'] },
  ],
};

export default config;
