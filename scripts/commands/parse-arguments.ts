// Reads the command line of scripts/main.ts. Pure; what is wrong is a StackFault `usage` that names the option.
import { StackFault } from '../stack/stack-fault.ts';

export type Command =
  | { name: 'up' }
  | { name: 'demo'; exit: boolean; lockfile: string | undefined }
  | { name: 'test'; args: readonly string[] }
  | { name: 'bench'; args: readonly string[] }
  | { name: 'check' }
  | { name: 'help' };

export const usage = `Usage: npm run <command> [-- options]

  up                              start PostgreSQL, Redis, the API and the workers; Ctrl-C stops them
  demo [--exit] [--lockfile PATH] the same, then import a real file and run the discovery flow on it
  test [jest arguments]           run the tests on PostgreSQL and Redis servers of their own   (npm test)
  bench [scenario...] [options]   run the benchmarks
  check                           types, lint, boundaries, dead code, format and unit tests
  api | worker | migrate          run one process against DATABASE_URL and REDIS_URL

Variables: DATABASE_URL, REDIS_URL, MILLRACE_HOME, MILLRACE_PORT, MILLRACE_WORKERS, MILLRACE_ADMIN_KEY,
           MILLRACE_FLOWS, MILLRACE_SELFTEST (all explained in .env.example)
`;

/** `args` without node and script. Throws for an unknown command, an unknown option and a missing value. */
export function parseArguments(args: readonly string[]): Command {
  const [name, ...rest] = args;
  if (name === undefined) throw usageFault('No command was given.');
  if (name === 'help' || name === '--help' || name === '-h') return { name: 'help' };
  if (name === 'test' || name === 'bench') return { name, args: rest };
  if (rest.includes('--help') || rest.includes('-h')) return { name: 'help' };
  if (name === 'demo') return parseDemo(rest);
  if (name !== 'up' && name !== 'check') throw usageFault(`There is no command "${name}".`);
  if (rest[0] !== undefined) throw usageFault(`"${name}" does not know ${describe(rest[0])}.`);
  return { name };
}

function parseDemo(args: readonly string[]): Command {
  const command = { name: 'demo' as const, exit: false, lockfile: undefined as string | undefined };
  for (let index = 0; index < args.length; index += 1) {
    const arg = args[index] ?? '';
    if (arg === '--exit') command.exit = true;
    else if (arg.startsWith('--lockfile=')) command.lockfile = lockfileValue(arg.slice('--lockfile='.length));
    else if (arg === '--lockfile') command.lockfile = lockfileValue(args[(index += 1)]);
    else throw usageFault(`"demo" does not know ${describe(arg)}.`);
  }
  return command;
}

function lockfileValue(value: string | undefined): string {
  if (value === undefined || value === '' || value.startsWith('--')) throw usageFault('The option "--lockfile" needs a path.');
  return value;
}

const describe = (arg: string): string => (arg.startsWith('-') ? `the option "${arg}"` : `the argument "${arg}"`);

function usageFault(message: string): StackFault {
  return new StackFault('usage', message, { advice: usage.trimEnd().split('\n') });
}
