// Entry of all commands on Node 24: reads the command line and the environment, runs the command, turns faults into a message and an exit code.
import { existsSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CommandContext } from './commands/command-context.ts';
import { watchForInterruption } from './commands/interruption.ts';
import { type Command, parseArguments, usage } from './commands/parse-arguments.ts';
import { StackFault } from './stack/stack-fault.ts';
import { createStepReporter } from './terminal/step-reporter.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

// Commands are imported when they run: `up` need not load what only `check` needs.
async function run(command: Command, context: CommandContext): Promise<number> {
  switch (command.name) {
    case 'up':
      return (await import('./commands/run-stack.ts')).up(context);
    case 'demo':
      return (await import('./commands/run-stack.ts')).demo(context, command);
    case 'test':
      return (await import('./commands/run-on-servers.ts')).test(context, command.args);
    case 'bench':
      return (await import('./commands/run-on-servers.ts')).bench(context, command.args);
    case 'check':
      return (await import('./check/check.ts')).check(context);
    case 'help':
      process.stdout.write(usage);
      return 0;
  }
}

function createContext(command: Command): CommandContext {
  const env = process.env;
  // What `test`, `bench` and `check` run prints on stdout; our own lines must not get in between.
  const out = command.name === 'up' || command.name === 'demo' ? process.stdout : process.stderr;
  const reporter = createStepReporter({ out, env });
  // npm changes to the repository and says where the user was.
  return { root, env, userFolder: env['INIT_CWD'] ?? process.cwd(), out, reporter, interruption: watchForInterruption(process) };
}

// Only in a state folder that is there already: the cache would make it with permissions of its own, and for `help` too.
function cacheCompiledCode(home: string): void {
  if (existsSync(home)) enableCompileCache(join(home, 'compile-cache'));
}

function explain(error: unknown): number {
  const fault = error instanceof StackFault ? error : undefined;
  process.stderr.write(`millrace: ${fault?.message ?? (error instanceof Error ? (error.stack ?? error.message) : String(error))}\n`);
  for (const line of fault?.advice ?? []) process.stderr.write(`  ${line}\n`);
  return fault?.exitCode ?? 1;
}

async function main(): Promise<number> {
  try {
    cacheCompiledCode(resolve(root, process.env['MILLRACE_HOME'] || '.millrace'));
    const command = parseArguments(process.argv.slice(2));
    return await run(command, createContext(command));
  } catch (error) {
    return explain(error);
  }
}

// A closed terminal or pipe must not end the orderly stop.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
process.exit(await main());
