// Remembers which children run, so that the next start can stop what a killed supervisor left behind. Stopping is done by process/stop-process.ts.
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileFault } from '../stack-fault.ts';
import { identify, isProcessIdentity, isRunning, type ProcessIdentity } from './process-identity.ts';
import { readStateFile, type StateFolder, writeStateFile } from './state-folder.ts';

export type RunRecord = ProcessIdentity & { name: string; stopSignal: NodeJS.Signals };

const recordPath = (folder: StateFolder, name: string): string => join(folder.run, `${name}.json`);

/** Written right after a child was spawned. A child that is gone already leaves no record. */
export function recordRun(folder: StateFolder, child: { name: string; pid: number; stopSignal: NodeJS.Signals }): void {
  const identity = identify(child.pid);
  if (identity === undefined) return;
  writeStateFile(
    recordPath(folder, child.name),
    JSON.stringify({ ...identity, name: child.name, stopSignal: child.stopSignal } satisfies RunRecord),
  );
}

export function forgetRun(folder: StateFolder, name: string): void {
  rmSync(recordPath(folder, name), { force: true });
}

/** The recorded children that still run. Call it only while holding the lock. Records of processes that ended are removed. */
export function leftoverRuns(folder: StateFolder): RunRecord[] {
  return recordFiles(folder).flatMap((file) => {
    const record = parseRecord(readStateFile(join(folder.run, file)));
    if (record !== undefined && isRunning(record)) return [record];
    rmSync(join(folder.run, file), { force: true });
    return [];
  });
}

function recordFiles(folder: StateFolder): string[] {
  try {
    return readdirSync(folder.run).filter((file) => file.endsWith('.json'));
  } catch (error) {
    throw fileFault(error, folder.run);
  }
}

function parseRecord(text: string | undefined): RunRecord | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '');
    if (!isProcessIdentity(value) || !('name' in value) || typeof value.name !== 'string') return undefined;
    const stopSignal = 'stopSignal' in value && value.stopSignal === 'SIGINT' ? 'SIGINT' : 'SIGTERM';
    return { pid: value.pid, startedAs: value.startedAs, name: value.name, stopSignal };
  } catch {
    // A record that cannot be read names no process, so there is nothing to stop by it.
    return undefined;
  }
}
