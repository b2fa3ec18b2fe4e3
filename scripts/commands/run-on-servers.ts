// The commands that need servers but not the stack: `test` and `bench`. Their servers are new and empty, and gone afterwards.
import { join } from 'node:path';
import { childEnvironment } from '../stack/child-environment.ts';
import { readStackSettings } from '../stack/stack-settings.ts';
import { startThrowawayServers } from '../stack/throwaway-servers.ts';
import type { CommandContext } from './command-context.ts';
import { runForeground } from './run-foreground.ts';

/** Runs jest on servers of its own, or on TEST_DATABASE_URL and TEST_REDIS_URL. DATABASE_URL is never used: the tests write where they run. */
export function test(context: CommandContext, args: readonly string[]): Promise<number> {
  const given = { databaseUrl: context.env['TEST_DATABASE_URL'] || undefined, redisUrl: context.env['TEST_REDIS_URL'] || undefined };
  return onServers(context, {
    given,
    args: [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      join(context.root, 'node_modules/jest/bin/jest.js'),
      ...args,
    ],
  });
}

/** Runs the benchmarks on servers of their own. */
export function bench(context: CommandContext, args: readonly string[]): Promise<number> {
  return onServers(context, {
    given: { databaseUrl: undefined, redisUrl: undefined },
    args: [join(context.root, 'bench/main.ts'), ...args],
  });
}

async function onServers(
  context: CommandContext,
  { given, args }: { given: { databaseUrl: string | undefined; redisUrl: string | undefined }; args: readonly string[] },
): Promise<number> {
  const { root, env, reporter, interruption } = context;
  const { home } = readStackSettings(env, root);
  const servers = await startThrowawayServers({
    home,
    given,
    env,
    reporter,
    signal: interruption.signal,
    onKillable: interruption.onKillable,
  });
  try {
    const childEnv = childEnvironment(env, { ...servers, root, compileCache: join(home, 'compile-cache') });
    const code = await runForeground(args, { env: childEnv, cwd: root, interruption });
    interruption.signal.throwIfAborted();
    return code;
  } finally {
    await servers.stop();
  }
}
