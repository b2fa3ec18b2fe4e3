// Lets one process at a time install into this clone: npm ci empties node_modules, so two at once would destroy each other's work.
import { chmodSync, linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BootstrapFault, exitCodes } from './bootstrap-fault.mjs';

const pollMs = 200;
/** Older than this a lock is stale even if its process id is in use (by another program then). */
const staleAfterMs = 30 * 60_000;

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function holderOf(path) {
  try {
    const pid = Number(readFileSync(path, 'utf8'));
    return isAlive(pid) && Date.now() - statSync(path).mtimeMs < staleAfterMs ? pid : undefined;
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

// The file appears complete or not at all, which is why it is written aside and linked.
function tryTake(path) {
  const aside = `${path}.${process.pid}`;
  writeFileSync(aside, String(process.pid));
  try {
    linkSync(aside, path);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  } finally {
    rmSync(aside, { force: true });
  }
}

/** Waits for its turn and returns the function that gives the lock back. `onWait` is called once if another process has it. */
export async function takeInstallLock(root, onWait) {
  const path = join(root, '.millrace', 'install.lock');
  let waited = false;
  try {
    // 0711, not 0700: PostgreSQL's unprivileged user must pass through when root starts it. Secrets in it are 0600 one by one.
    const made = mkdirSync(join(root, '.millrace'), { recursive: true });
    if (made !== undefined) chmodSync(made, 0o711);
    while (!tryTake(path)) {
      const holder = holderOf(path);
      if (holder === undefined) rmSync(path, { force: true });
      else if (!waited) onWait(holder);
      waited = waited || holder !== undefined;
      if (holder !== undefined) await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  } catch (error) {
    if (['EACCES', 'EPERM', 'EROFS'].includes(error.code))
      throw new BootstrapFault(
        `No permission to write into ${root} (${error.code}), so nothing can be installed there.`,
        exitCodes.noPermission,
      );
    if (['ENOSPC', 'EDQUOT'].includes(error.code))
      throw new BootstrapFault(`The disk of ${root} is full. Free some space and run the same command again.`, exitCodes.ioFailure);
    throw error;
  }
  return { waited, release: () => rmSync(path, { force: true }) };
}
