// The embedded PostgreSQL: sets it up if it is new, starts it on a loopback port and says when it is ready. What to do with its exits is the caller's matter.
import { readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { createSupervisedProcess, type SupervisedProcess } from '../process/supervised-process.ts';
import type { ServerDeps } from '../server-deps.ts';
import { mentionsFullDisk, StackFault } from '../stack-fault.ts';
import { keepPort } from '../state/server-ports.ts';
import { exists, type StateFolder } from '../state/state-folder.ts';
import { keepPassword } from '../state/secrets.ts';
import type { Step } from '../../terminal/step-reporter.ts';
import { checkCluster, keepAdvice } from './check-cluster.ts';
import { createCluster, databaseName } from './create-cluster.ts';
import { postgresAccount, type Account } from './postgres-account.ts';
import { findPostgresBinaries, type PostgresBinaries, programPath } from './postgres-binaries.ts';
import { reachableBinaries } from './reachable-place.ts';

/** Crash recovery after a hard stop can take a while; a healthy start takes a fraction of a second. */
const readyWithinMs = 120_000;

/** Starts PostgreSQL and returns its URL. Throws a StackFault if that fails; its data is left as it is. */
export async function startPostgres(deps: ServerDeps): Promise<string> {
  const isNew = !exists(deps.folder.postgres);
  const step = deps.reporter.step('postgres', { text: isNew ? 'creating a new database cluster' : 'starting', announce: isNew });
  try {
    return await prepareAndStart(deps, { step, isNew });
  } catch (error) {
    step.fail();
    throw error;
  }
}

async function prepareAndStart(deps: ServerDeps, { step, isNew }: { step: Step; isNew: boolean }): Promise<string> {
  const { folder, env, reporter } = deps;
  const account = await postgresAccount(env, () =>
    reporter.line('postgres', 'made the system user "postgres", because PostgreSQL does not run as root'),
  );
  const found = findPostgresBinaries();
  const binaries = reachableBinaries(found, account);
  const password = keptPassword(folder, isNew);
  if (isNew) await createCluster({ folder, binaries, account, password, env, signal: deps.signal });
  else checkCluster(folder, binaries.major);
  const port = await keepPort(folder, 'postgres');
  // The real path: PostgreSQL's user may be unable to follow the link that the state folder holds (reachable-place.ts).
  const data = realpathSync(folder.postgres);
  const server = createServer(deps, { binaries, account, port, data });
  deps.stopList.add(server);
  if (isNew) step.update('starting');
  const isReady = (): boolean => isPostmasterReady(data, server.pid());
  if (!(await server.start({ isReady, withinMs: readyWithinMs, signal: deps.signal }))) throw startFault(server, folder);
  step.done(`${isNew ? 'created and started' : 'started'}: PostgreSQL ${binaries.version} on 127.0.0.1:${port}, data in ${data}`);
  return `postgresql://${databaseName}:${password}@127.0.0.1:${port}/${databaseName}`;
}

// A cluster whose password is gone cannot be used; making a new password would only hide that.
function keptPassword(folder: StateFolder, isNew: boolean): string {
  if (isNew || exists(folder.postgresPassword)) return keepPassword(folder.postgresPassword);
  throw new StackFault('corruptState', `${folder.postgresPassword} is missing, but ${folder.postgres} needs it.`, {
    advice: ['Put it back from a backup, or:', ...keepAdvice(folder)],
  });
}

type ServerPlace = { binaries: PostgresBinaries; account: Account | undefined; port: number; data: string };

function createServer(deps: ServerDeps, { binaries, account, port, data }: ServerPlace): SupervisedProcess {
  return createSupervisedProcess(
    {
      name: 'postgres',
      command: programPath(binaries, 'postgres'),
      args: postgresArguments(data, port),
      env: { ...deps.env, LC_ALL: 'C', TZ: 'UTC' },
      cwd: data,
      account,
      stopSignal: 'SIGINT',
      killSignal: 'SIGQUIT',
      stopWithinMs: 25_000,
    },
    deps,
  );
}

/** Settings of the embedded server. Durability is PostgreSQL's full default and said here so that nothing in the data folder turns it off. */
export function postgresArguments(data: string, port: number): string[] {
  const settings: Record<string, string | number> = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    cluster_name: 'millrace',
    fsync: 'on',
    full_page_writes: 'on',
    synchronous_commit: 'on',
    shared_buffers: '256MB',
    max_connections: 200,
    wal_compression: 'on',
    max_wal_size: '2GB',
    log_destination: 'stderr',
    logging_collector: 'off',
    log_line_prefix: '%m [%p] ',
    timezone: 'UTC',
    log_timezone: 'UTC',
  };
  return ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
}

/** The postmaster writes its state into the last line of postmaster.pid (pg_ctl reads it there, too): no connection is needed to know it is ready. */
function isPostmasterReady(data: string, pid: number | undefined): boolean {
  try {
    const lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
    return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
  } catch {
    // Not written yet.
    return false;
  }
}

function startFault(server: SupervisedProcess, folder: StateFolder): StackFault {
  const lines = server.lastLines(40);
  const worst = lines.filter((line) => /FATAL:|PANIC:|could not/.test(line)).at(-1) ?? lines.at(-1) ?? 'it printed nothing';
  const advice = [`Its log: ${server.logPath}`];
  if (mentionsFullDisk(lines.join('\n')))
    return new StackFault('ioFailure', `PostgreSQL did not start, the disk is full: ${worst}`, { advice });
  return new StackFault('corruptState', `PostgreSQL did not start: ${worst}`, { advice: [...advice, ...keepAdvice(folder)] });
}
