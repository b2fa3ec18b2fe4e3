// `npm run check`: every check by name with its time, all of them even if one fails; what a failed one printed is shown below it.
import { join } from 'node:path';
import type { CommandContext } from '../commands/command-context.ts';
import { runOnce, type RunResult } from '../stack/process/run-once.ts';
import { withRepositoryPrograms } from '../stack/child-environment.ts';
import { useColours } from '../terminal/step-reporter.ts';

type Check = { name: string; program: string; args: readonly string[] };

const bin = (name: string): string => `node_modules/${name}`;

/** Programs are JavaScript files run on this Node; the order is from quick to slow. */
const checks: readonly Check[] = [
  { name: 'types', program: bin('typescript/bin/tsc'), args: ['-p', 'tsconfig.json', '--noEmit'] },
  { name: 'lint and sizes', program: bin('oxlint/bin/oxlint'), args: ['--type-aware', '--deny-warnings'] },
  {
    name: 'boundaries',
    program: bin('dependency-cruiser/bin/dependency-cruise.mjs'),
    args: ['--config', '.dependency-cruiser.cjs', '--output-type', 'err-long', 'apps', 'packages', 'flows', 'scripts', 'bench', 'test'],
  },
  { name: 'dead code', program: bin('knip/bin/knip.js'), args: ['--no-progress'] },
  {
    name: 'format',
    program: bin('prettier/bin/prettier.cjs'),
    args: ['--check', '--log-level', 'warn', '**/*.{ts,tsx,mjs,cjs,json,yml,yaml,css,html}'],
  },
  { name: 'containers', program: 'scripts/check/container-files.ts', args: [] },
  { name: 'pages', program: 'scripts/docs/write-lifecycle.ts', args: ['--check'] },
  { name: 'unit tests', program: bin('jest/bin/jest.js'), args: ['--selectProjects', 'unit', '--passWithNoTests'] },
];

/** Resolves with 0 if all passed, else 1. */
export async function check({ root, env, reporter, out, interruption }: CommandContext): Promise<number> {
  const childEnv = { ...withRepositoryPrograms(env, root), ...colourEnvironment(useColours(out, env)) };
  const failed: string[] = [];
  for (const { name, program, args } of checks) {
    const step = reporter.step(name, { text: 'running' });
    const node = ['--disable-warning=ExperimentalWarning', ...(program.includes('jest') ? ['--experimental-vm-modules'] : [])];
    const result = await runOnce(process.execPath, [...node, join(root, program), ...args], {
      env: childEnv,
      cwd: root,
      signal: interruption.signal,
    });
    interruption.signal.throwIfAborted();
    step.done(result.code === 0 ? 'ok' : `FAILED (exit code ${result.code ?? 'none'})`);
    if (result.code === 0) continue;
    failed.push(name);
    reporter.plain(indent(result));
  }
  reporter.plain(
    failed.length === 0
      ? `All ${checks.length} checks passed.`
      : `${failed.length} of ${checks.length} checks failed: ${failed.join(', ')}.`,
  );
  return failed.length === 0 ? 0 : 1;
}

const colourEnvironment = (colours: boolean): NodeJS.ProcessEnv => (colours ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' });

const indent = ({ output }: RunResult): string =>
  output
    .trimEnd()
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
