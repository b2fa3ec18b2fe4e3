// The state folder (.millrace or MILLRACE_HOME): where everything in it lies, and reading and writing its small files whole or not at all.
import {
  accessSync,
  chmodSync,
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { errorCode, fileFault, StackFault } from '../stack-fault.ts';

export type StateFolder = {
  /** Absolute path of the folder. */
  home: string;
  logs: string;
  /** One file per running child: who it is. */
  run: string;
  lock: string;
  adminKey: string;
  ports: string;
  /** Data of the embedded PostgreSQL; a symbolic link where the folder itself cannot be reached by PostgreSQL's user. */
  postgres: string;
  postgresPassword: string;
  redis: string;
  redisPassword: string;
  compileCache: string;
  throwaway: string;
};

export function stateFolderAt(home: string): StateFolder {
  return {
    home,
    logs: join(home, 'logs'),
    run: join(home, 'run'),
    lock: join(home, 'lock'),
    adminKey: join(home, 'admin-key'),
    ports: join(home, 'ports.json'),
    postgres: join(home, 'postgres'),
    postgresPassword: join(home, 'postgres-password'),
    redis: join(home, 'redis'),
    redisPassword: join(home, 'redis-password'),
    compileCache: join(home, 'compile-cache'),
    throwaway: join(home, 'throwaway'),
  };
}

/** Makes the folder and its sub-folders if missing and checks that they can be used. Throws a StackFault that names the path. */
export function openStateFolder(home: string): StateFolder {
  const folder = stateFolderAt(home);
  // As root PostgreSQL runs as another user, who must be able to pass through; every secret inside is 0600 by itself.
  const mode = process.getuid?.() === 0 ? 0o711 : 0o700;
  for (const path of [folder.home, folder.logs, folder.run]) {
    try {
      const made = mkdirSync(path, { recursive: true }) !== undefined;
      // Only what we made ourselves, and by chmod, because a umask takes bits away.
      if (made) chmodSync(path, path === folder.home ? mode : 0o700);
      if (!statSync(path).isDirectory()) throw new StackFault('corruptState', `${path} is not a folder.`);
      accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (error) {
      throw fileFault(error, path);
    }
  }
  return folder;
}

/** Whether anything, a dangling link included, has that name. */
export function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw fileFault(error, path);
  }
}

/** The file's text, or undefined if there is none. Throws a StackFault if it is there but cannot be read. */
export function readStateFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw fileFault(error, path);
  }
}

/** Replaces the file at once (mode 0600): a crash leaves the old text or the new, never half of it. */
export function writeStateFile(path: string, text: string): void {
  const aside = `${path}.${process.pid}`;
  try {
    writeFileSync(aside, text, { mode: 0o600, flush: true });
    renameSync(aside, path);
  } catch (error) {
    rmSync(aside, { force: true });
    throw fileFault(error, path);
  }
}

/** Like writeStateFile, but only if there is no such file yet; says whether it was made. */
export function createStateFile(path: string, text: string): boolean {
  const aside = `${path}.${process.pid}`;
  try {
    writeFileSync(aside, text, { mode: 0o600, flush: true });
    linkSync(aside, path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw fileFault(error, path);
  } finally {
    rmSync(aside, { force: true });
  }
}
