// For root only: PostgreSQL's user must reach its programs and its data. Where the clone or the state folder lies under a folder that only root may
// enter (/root), the programs are copied and the data is put below /var/lib/millrace. Nobody's permissions are changed.
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { errorCode, fileFault, StackFault } from '../stack-fault.ts';
import type { StateFolder } from '../state/state-folder.ts';
import type { Account } from './postgres-account.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';

const sharedPlace = '/var/lib/millrace';

/** Whether the account may enter the folder and all above it, by owner, group and mode. */
export function canEnter(folder: string, account: Account): boolean {
  for (let path = resolve(folder); ; path = dirname(path)) {
    const { uid, gid, mode } = statSync(path);
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (dirname(path) === path) return true;
  }
}

/** The binaries where the account can run them: where they are, or a copy made once per version. */
export function reachableBinaries(binaries: PostgresBinaries, account: Account | undefined): PostgresBinaries {
  if (account === undefined || canEnter(join(binaries.folder, 'share'), account)) return binaries;
  const folder = join(openSharedPlace(account), `postgresql-${binaries.version}-${process.arch}`);
  if (!existsSync(folder)) copyWhole(binaries.folder, folder);
  return { ...binaries, folder };
}

// Copied under another name first, so that a copy that was cut short is never taken for a whole one.
function copyWhole(source: string, target: string): void {
  const aside = mkdtempSync(`${target}.`);
  try {
    cpSync(source, aside, { recursive: true, verbatimSymlinks: true, filter: (path) => !path.endsWith('.a') });
    makeReadable(aside);
    renameSync(aside, target);
  } catch (error) {
    rmSync(aside, { recursive: true, force: true });
    // Somebody else was quicker; theirs is as good.
    if (!['ENOTEMPTY', 'EEXIST'].includes(errorCode(error) ?? '')) throw fileFault(error, target);
  }
}

function makeReadable(folder: string): void {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isSymbolicLink())
      chmodSync(
        join(entry.parentPath, entry.name),
        entry.isDirectory() || statSync(join(entry.parentPath, entry.name)).mode & 0o100 ? 0o755 : 0o644,
      );
  }
}

/**
 * The folder in which PostgreSQL's data folder is to be made: the state folder itself, or one below /var/lib/millrace, made for it.
 * The latter belongs to this state folder alone, which will hold a symbolic link to the data.
 */
export function placeForData(folder: StateFolder, account: Account | undefined): string {
  if (account === undefined || canEnter(folder.home, account)) return folder.home;
  const place = mkdtempSync(join(openSharedPlace(account), 'data-'));
  chmodSync(place, 0o711);
  return place;
}

/** Points the state folder at data that lies elsewhere. */
export function linkData(folder: StateFolder, data: string): void {
  if (data !== folder.postgres) symlinkSync(data, folder.postgres);
}

/** Removes data that placeForData put elsewhere; used for throwaway state folders only. */
export function removeRelocatedData(folder: StateFolder): void {
  if (!isLink(folder.postgres)) return;
  const place = dirname(readlinkSync(folder.postgres));
  if (dirname(place) === sharedPlace) rmSync(place, { recursive: true, force: true });
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

function openSharedPlace(account: Account): string {
  try {
    mkdirSync(sharedPlace, { recursive: true, mode: 0o755 });
    if (canEnter(sharedPlace, account)) return sharedPlace;
  } catch (error) {
    throw fileFault(error, sharedPlace);
  }
  throw new StackFault(
    'noPermission',
    `PostgreSQL does not run as root, and its user can enter neither this clone's folder nor ${sharedPlace}.`,
    {
      advice: ['Run this command as another user, or name a PostgreSQL of your own: DATABASE_URL=postgresql://...'],
    },
  );
}

export function giveTo(path: string, account: Account | undefined): void {
  if (account !== undefined) chownSync(path, account.uid, account.gid);
}
