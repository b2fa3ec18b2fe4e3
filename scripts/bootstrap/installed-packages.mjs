// Answers whether node_modules holds what package-lock.json names. A stamp with the lockfile's hash makes the usual answer cheap;
// without one (someone ran npm by hand) npm's own record of what it installed is compared.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const stampPath = (root) => join(root, 'node_modules', '.millrace-installed');
const npmRecordPath = (root) => join(root, 'node_modules', '.package-lock.json');

/** The path of the Node 24 binary that the `node` package brings. */
export const nodeBinaryPath = (root) => join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');

function lockfileHash(root) {
  // Platform and architecture belong to it, because packages with binaries are chosen by them.
  return createHash('sha256')
    .update(`${process.platform}-${process.arch}\n`)
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    // Missing and unreadable mean the same to the callers: not known to be installed.
    return undefined;
  }
}

/** Whether npm's record (node_modules/.package-lock.json) holds every package of the lockfile that this platform needs, in that version. */
export function recordCoversLockfile(lockfile, record) {
  if (!lockfile?.packages || !record?.packages) return false;
  return Object.entries(lockfile.packages).every(([path, wanted]) => {
    if (path === '') return true;
    const found = record.packages[path];
    if (!found) return wanted.optional === true || wanted.devOptional === true || wanted.peer === true;
    return found.version === wanted.version && found.integrity === wanted.integrity;
  });
}

/** Whether a finished installation of exactly this lockfile is there. Costs one read and one hash of the lockfile. */
export function isInstalled(root) {
  if (!existsSync(nodeBinaryPath(root)) || !existsSync(stampPath(root))) return false;
  return readFileSync(stampPath(root), 'utf8') === lockfileHash(root);
}

/** Accepts an installation made by npm itself, if it covers the lockfile and its binaries are there. */
export function adoptInstallation(root) {
  if (!existsSync(nodeBinaryPath(root))) return false;
  if (!recordCoversLockfile(readJson(join(root, 'package-lock.json')), readJson(npmRecordPath(root)))) return false;
  markInstalled(root);
  return true;
}

/** Called before npm touches anything: from here on, an interrupted installation counts as none. */
export function markUnfinished(root) {
  rmSync(stampPath(root), { force: true });
  rmSync(npmRecordPath(root), { force: true });
}

/** Called as the very last step of an installation. */
export function markInstalled(root) {
  try {
    writeFileSync(stampPath(root), lockfileHash(root));
  } catch (error) {
    // A read-only node_modules (an image, another user's clone) works as well; it is only compared again the next time.
    if (!['EACCES', 'EPERM', 'EROFS'].includes(error.code)) throw error;
  }
}
