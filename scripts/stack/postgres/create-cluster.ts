// Makes a new PostgreSQL data folder with one database in it: complete under its final name or not at all.
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runOnce, type RunResult } from '../process/run-once.ts';
import { fileFault, mentionsFullDisk, StackFault } from '../stack-fault.ts';
import { exists, type StateFolder } from '../state/state-folder.ts';
import type { Account } from './postgres-account.ts';
import { type PostgresBinaries, programPath } from './postgres-binaries.ts';
import { giveTo, linkData, placeForData } from './reachable-place.ts';

/** The superuser and the database of the embedded server. */
export const databaseName = 'millrace';

export type ClusterOptions = {
  folder: StateFolder;
  binaries: PostgresBinaries;
  account: Account | undefined;
  password: string;
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
};

const unfinishedPrefix = 'postgres.unfinished-';

/** Runs initdb (UTF-8, the same collation everywhere, data checksums, password authentication) and creates the database. Throws a StackFault. */
export async function createCluster(options: ClusterOptions): Promise<void> {
  const { folder, account } = options;
  try {
    removeUnfinished(folder.home);
    const place = placeForData(folder, account);
    const workshop = mkdtempSync(join(place, unfinishedPrefix));
    try {
      giveTo(workshop, account);
      await fillWorkshop(options, workshop);
      const data = join(place, 'postgres');
      renameSync(join(workshop, 'data'), data);
      linkData(folder, data);
    } finally {
      rmSync(workshop, { recursive: true, force: true });
      if (!exists(folder.postgres) && place !== folder.home) rmSync(place, { recursive: true, force: true });
    }
  } catch (error) {
    options.signal.throwIfAborted();
    throw fileFault(error, folder.home);
  }
}

// What a start that was cut short left behind. Nobody's data: it was never started.
function removeUnfinished(home: string): void {
  for (const name of readdirSync(home)) {
    if (name.startsWith(unfinishedPrefix)) rmSync(join(home, name), { recursive: true, force: true });
  }
}

async function fillWorkshop({ binaries, account, password, env, signal }: ClusterOptions, workshop: string): Promise<void> {
  const data = join(workshop, 'data');
  const passwordFile = join(workshop, 'password');
  mkdirSync(data, { mode: 0o700 });
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  for (const path of [data, passwordFile]) giveTo(path, account);
  const run = { env: { ...env, LC_ALL: 'C', TZ: 'UTC' }, cwd: workshop, account, signal };
  const initialised = await runOnce(programPath(binaries, 'initdb'), initdbArguments(data, passwordFile), run);
  assertDone('initdb', initialised);
  // The single-user mode needs no running server, so the cluster is complete before anyone can see it.
  const created = await runOnce(programPath(binaries, 'postgres'), ['--single', '-D', data, 'postgres'], {
    ...run,
    input: `CREATE DATABASE ${databaseName}\n`,
  });
  assertDone('creating the database', created);
}

function initdbArguments(data: string, passwordFile: string): string[] {
  return [
    `--pgdata=${data}`,
    `--username=${databaseName}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    // PostgreSQL's own C.UTF-8 sorts by code point and is the same on every system, whatever locales that has.
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--data-checksums',
  ];
}

function assertDone(what: string, result: RunResult): void {
  if (result.code === 0 && !/^.*FATAL:/m.test(result.output)) return;
  const lines = result.output.trim().split('\n').slice(-5);
  const isFull = mentionsFullDisk(result.output);
  throw new StackFault(
    isFull ? 'ioFailure' : 'failed',
    isFull ? `The disk is full: ${what} could not finish.` : `PostgreSQL could not be set up: ${what} failed.`,
    { advice: lines },
  );
}
