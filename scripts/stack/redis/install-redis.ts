// Installs Redis with the system's package manager, where that needs no question: as root or with passwordless sudo by apt, else by brew.
// Says nothing itself; the caller reports what happened.
import { runOnce, type RunResult } from '../process/run-once.ts';

export type InstallDeps = { env: NodeJS.ProcessEnv; signal: AbortSignal; onStart(what: string): void };

/** What was done, or undefined if there is no way here that needs no question. `ok` false: it was tried and failed. */
export type InstallOutcome = { ok: boolean; what: string; output: string };

export async function installRedis(deps: InstallDeps): Promise<InstallOutcome | undefined> {
  const prefix = await rootPrefix(deps.env);
  if (prefix !== undefined && (await hasProgram('apt-get', deps.env))) return installByApt(prefix, deps);
  // brew refuses to run as root, and needs no more rights than its owner has.
  if (process.getuid?.() !== 0 && (await hasProgram('brew', deps.env))) return installByBrew(deps);
  return undefined;
}

const hasProgram = async (name: string, env: NodeJS.ProcessEnv): Promise<boolean> =>
  !(await runOnce(name, ['--version'], { env, timeoutMs: 10_000 })).missing;

/** The words before a command that needs root: none as root, `sudo -n` if it asks no password, undefined otherwise. */
async function rootPrefix(env: NodeJS.ProcessEnv): Promise<string[] | undefined> {
  if (process.getuid?.() === 0) return [];
  const asked = await runOnce('sudo', ['-n', 'true'], { env, timeoutMs: 10_000 });
  return asked.code === 0 ? ['sudo', '-n'] : undefined;
}

// redis-tools, not redis-server: it holds the same program (see find-redis-server.ts) but no service, so nothing is left running on port 6379.
async function installByApt(prefix: readonly string[], deps: InstallDeps): Promise<InstallOutcome> {
  deps.onStart('apt-get install redis-tools (the server program without a system service)');
  const install = (name: string): Promise<RunResult> => aptGet(prefix, ['install', '--yes', '--no-install-recommends', name], deps);
  let result = await install('redis-tools');
  if (result.code !== 0) {
    // A fresh image has no package lists yet.
    await aptGet(prefix, ['update'], deps);
    result = await install('redis-tools');
  }
  if (result.code === 0) return { ok: true, what: 'installed redis-tools by apt', output: result.output };
  const valkey = await install('valkey-tools');
  return { ok: valkey.code === 0, what: 'installed valkey-tools by apt', output: `${result.output}\n${valkey.output}` };
}

function aptGet(prefix: readonly string[], args: readonly string[], { env, signal }: InstallDeps): Promise<RunResult> {
  // `env` inside sudo, which would drop the variable otherwise.
  const [command = '', ...rest] = [
    ...prefix,
    'env',
    'DEBIAN_FRONTEND=noninteractive',
    'apt-get',
    '-q',
    '-o',
    'DPkg::Lock::Timeout=60',
    ...args,
  ];
  return runOnce(command, rest, { env, signal, timeoutMs: 180_000 });
}

async function installByBrew({ env, signal, onStart }: InstallDeps): Promise<InstallOutcome> {
  onStart('brew install redis');
  const result = await runOnce('brew', ['install', 'redis'], {
    env: { ...env, HOMEBREW_NO_AUTO_UPDATE: '1', NONINTERACTIVE: '1' },
    signal,
    timeoutMs: 600_000,
  });
  return { ok: result.code === 0, what: 'installed redis by brew', output: result.output };
}
