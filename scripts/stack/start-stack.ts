// Starts everything a local Millrace consists of on one state folder: lock, PostgreSQL, Redis, migration, API, workers; and stops it in reverse.
// What is said at the end and how long it runs is left to the commands.
import { listenError, freePort } from './state/server-ports.ts';
import { keepAdminKey } from './state/secrets.ts';
import { takeLock } from './state/lock-file.ts';
import { openStateFolder, type StateFolder } from './state/state-folder.ts';
import type { StepReporter } from '../terminal/step-reporter.ts';
import { childEnvironment } from './child-environment.ts';
import { stopLeftovers } from './leftovers.ts';
import { createStopList, type StopList } from './process/stop-list.ts';
import type { ProcessExit } from './process/supervised-process.ts';
import { createServices, migrate, startServices } from './services.ts';
import { StackFault } from './stack-fault.ts';
import type { StackSettings } from './stack-settings.ts';
import { startServers } from './start-servers.ts';

/** After this long the reporter says that the migration still runs. */
const migrateSlowMs = 5_000;

export type StackOptions = {
  /** The repository. */
  root: string;
  settings: StackSettings;
  env: NodeJS.ProcessEnv;
  reporter: StepReporter;
  /** Aborting it ends a start under way; what was started is stopped before startStack rejects. */
  signal: AbortSignal;
  /** A service ended in a way that starting it again cannot mend (its configuration is wrong). The stack should be stopped. */
  onFatal(fault: StackFault): void;
  /** Gets what can end everything at once, as soon as there is anything to end: for a second Ctrl-C. */
  onKillable(kill: () => void): void;
};

export type Stack = {
  databaseUrl: string;
  redisUrl: string;
  baseUrl: string;
  adminKey: string;
  home: string;
  /** Stops all that was started, in reverse order. Idempotent. */
  stop(): Promise<void>;
};

/** Throws a StackFault if anything keeps the stack from getting ready; nothing of it runs then. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { settings, reporter } = options;
  const folder = openStateFolder(settings.home);
  const lock = takeLock(folder.lock, `http://${settings.host}:${settings.port}`);
  const stopList = createStopList();
  stopList.add({ stop: async () => lock.release() });
  options.onKillable(() => stopList.killAll());
  try {
    return await startAll(options, { folder, stopList });
  } catch (error) {
    reporter.pause();
    await stopList.stopAll();
    throw error;
  }
}

async function startAll(options: StackOptions, { folder, stopList }: { folder: StateFolder; stopList: StopList }): Promise<Stack> {
  const { settings, reporter, root, signal } = options;
  const clock = createStopwatch();
  await stopLeftovers(folder, reporter);
  const port = await choosePort(settings.port);
  const adminKey = settings.adminKey ?? announceAdminKey(folder, reporter);
  const onExit = (exit: ProcessExit): void => reportExit(exit, options);
  const urls = await startServers(settings, { folder, env: options.env, reporter, stopList, signal, onExit });
  clock.lap('servers');
  const env = childEnvironment(options.env, { ...urls, root, home: folder.home, compileCache: folder.compileCache, port, adminKey });
  await runMigration({ root, env, signal }, reporter);
  clock.lap('migrate');
  const baseUrl = `http://${settings.host}:${port}`;
  const services = createServices({ root, env, workers: settings.workers }, { folder, onExit });
  stopList.addGroup([services.api, ...services.workers]);
  const step = reporter.step('services', { text: `starting the API and ${settings.workers} workers` });
  await startServices(services, { baseUrl, signal });
  clock.lap('services');
  step.done(`API ready at ${baseUrl}, ${settings.workers} worker${settings.workers === 1 ? '' : 's'} started, logs in ${folder.logs}`);
  reporter.line('ready', `in ${clock.total()} s (${clock.laps()})`);
  return { ...urls, baseUrl, adminKey, home: folder.home, stop: () => stopList.stopAll() };
}

async function choosePort(wanted: number): Promise<number> {
  if (wanted === 0) return freePort();
  const code = await listenError(wanted);
  if (code === undefined) return wanted;
  if (code === 'EACCES') {
    throw new StackFault('noPermission', `This user may not listen on port ${wanted}.`, {
      advice: ['Choose a port above 1023: MILLRACE_PORT=8080'],
    });
  }
  throw new StackFault('unavailable', `Port ${wanted} is in use by another program.`, {
    advice: [`Stop that program, or choose another port: MILLRACE_PORT=${wanted === 65_535 ? 8081 : wanted + 1}`],
  });
}

function announceAdminKey(folder: StateFolder, reporter: StepReporter): string {
  const { key, isNew } = keepAdminKey(folder);
  if (isNew) reporter.line('admin key', `made: ${key} (shown once, kept in ${folder.adminKey})`);
  return key;
}

async function runMigration(service: { root: string; env: NodeJS.ProcessEnv; signal: AbortSignal }, reporter: StepReporter): Promise<void> {
  const step = reporter.step('migrate', { text: 'bringing the schema up to date' });
  const reminder = setTimeout(
    () => step.update('still bringing the schema up to date (it waits for PostgreSQL if that is away)'),
    migrateSlowMs,
  );
  try {
    await migrate(service);
  } finally {
    clearTimeout(reminder);
  }
  step.done('schema is up to date');
}

function reportExit(exit: ProcessExit, { reporter, onFatal }: Pick<StackOptions, 'reporter' | 'onFatal'>): void {
  const how = exit.signal === null ? `with exit code ${exit.code ?? 'none'}` : `by ${exit.signal}`;
  if (exit.restartInMs === undefined) {
    onFatal(new StackFault('configuration', `${exit.name} ended ${how}: its configuration is wrong.`, { advice: exit.lastLines }));
    return;
  }
  reporter.warn(exit.name, `ended ${how}, starting again in ${(exit.restartInMs / 1000).toFixed(1)} s`);
}

function createStopwatch(): { lap(name: string): void; laps(): string; total(): string } {
  const startedAt = performance.now();
  const parts: string[] = [];
  let lapAt = startedAt;
  const seconds = (from: number): string => ((performance.now() - from) / 1000).toFixed(2);
  return {
    lap(name) {
      parts.push(`${name} ${seconds(lapAt)}`);
      lapAt = performance.now();
    },
    laps: () => parts.join(', '),
    total: () => seconds(startedAt),
  };
}
