// One supervisor per state folder: a file that names the process which has it. A lock whose process is gone is taken over.
import { linkSync, renameSync, rmSync } from 'node:fs';
import { errorCode, fileFault, StackFault } from '../stack-fault.ts';
import { identify, isProcessIdentity, isRunning, type ProcessIdentity } from './process-identity.ts';
import { createStateFile, readStateFile } from './state-folder.ts';

export type StateLock = { release(): void };

type LockRecord = ProcessIdentity & { what: string };

/**
 * Takes the lock at `path` for this process. `what` is shown to whoever comes second ("http://127.0.0.1:8080").
 * Throws a StackFault `alreadyRunning` if a living process has it, `corruptState` if the file is no lock.
 */
export function takeLock(path: string, what: string): StateLock {
  const mine = JSON.stringify({ ...ownIdentity(), what } satisfies LockRecord);
  // Each turn either takes the lock, ends with a fault or removes one stale lock; somebody else may be quicker, hence a few turns.
  for (let turn = 0; turn < 10; turn += 1) {
    if (createStateFile(path, mine)) return { release: () => releaseLock(path, mine) };
    const found = readStateFile(path);
    if (found === undefined) continue;
    const holder = parseLock(found, path);
    if (isRunning(holder)) throw alreadyRunning(path, holder);
    removeStale(path, found);
  }
  throw new StackFault('alreadyRunning', `Another Millrace is starting on ${path} at the same moment. Try again.`);
}

function ownIdentity(): ProcessIdentity {
  return identify(process.pid) ?? { pid: process.pid, startedAs: 'unknown' };
}

function parseLock(text: string, path: string): LockRecord {
  try {
    const value: unknown = JSON.parse(text);
    if (isProcessIdentity(value)) return { ...value, what: 'what' in value && typeof value.what === 'string' ? value.what : '' };
  } catch {
    // Not JSON: the fault below says so.
  }
  throw new StackFault('corruptState', `${path} is not a lock file of Millrace.`, {
    advice: [`If no Millrace runs on this folder, remove it: rm ${path}`],
  });
}

function alreadyRunning(path: string, holder: LockRecord): StackFault {
  return new StackFault(
    'alreadyRunning',
    `Millrace already runs on this state folder (pid ${holder.pid}${holder.what === '' ? '' : `, ${holder.what}`}).`,
    {
      advice: [
        `Stop it with Ctrl-C in its terminal (or: kill ${holder.pid}), or start a second one on its own folder and port: MILLRACE_HOME=.millrace-2 MILLRACE_PORT=8081 (lock: ${path})`,
      ],
    },
  );
}

// Renaming is what only one of several takers can do. If the file was replaced in between, it goes back to its owner.
function removeStale(path: string, staleText: string): void {
  const aside = `${path}.stale.${process.pid}`;
  try {
    renameSync(path, aside);
    if (readStateFile(aside) !== staleText) linkSync(aside, path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'EEXIST') throw fileFault(error, path);
  } finally {
    rmSync(aside, { force: true });
  }
}

// Only our own lock: after a takeover (this process was stopped for long, its id reused) the file is somebody else's.
function releaseLock(path: string, mine: string): void {
  if (readStateFile(path) === mine) rmSync(path, { force: true });
}
