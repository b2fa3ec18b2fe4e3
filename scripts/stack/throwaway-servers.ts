// PostgreSQL and Redis for one run of the tests or the benchmarks: on a state folder of their own below the usual one, gone afterwards.
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { StepReporter } from '../terminal/step-reporter.ts';
import { stopLeftovers } from './leftovers.ts';
import { createStopList } from './process/stop-list.ts';
import { removeRelocatedData } from './postgres/reachable-place.ts';
import { errorCode, fileFault, StackFault } from './stack-fault.ts';
import { startServers, type ServerUrls } from './start-servers.ts';
import { takeLock, type StateLock } from './state/lock-file.ts';
import { identify } from './state/process-identity.ts';
import { exists, openStateFolder, stateFolderAt } from './state/state-folder.ts';

export type ThrowawayOptions = {
  /** The usual state folder; the throwaway one is made below it. */
  home: string;
  /** Servers to use instead of starting some. */
  given: { [Name in keyof ServerUrls]: string | undefined };
  env: NodeJS.ProcessEnv;
  reporter: StepReporter;
  signal: AbortSignal;
  onKillable(kill: () => void): void;
};

export type ThrowawayServers = ServerUrls & { home: string; stop(): Promise<void> };

/** Starts both servers on an empty state folder. stop() stops them and removes the folder. Also removes what killed runs left behind. */
export async function startThrowawayServers(options: ThrowawayOptions): Promise<ThrowawayServers> {
  const { reporter, env, signal } = options;
  const parent = openParent(options.home);
  await sweep(parent, reporter);
  const folder = openStateFolder(join(parent, `${process.pid}-${randomBytes(4).toString('hex')}`));
  const lock = takeLock(folder.lock, 'test servers');
  const stopList = createStopList();
  stopList.add({ stop: () => discard(folder.home, { lock, reporter }) });
  options.onKillable(() => stopList.killAll());
  const onExit = ({ name, code }: { name: string; code: number | null }): void =>
    reporter.warn(name, `ended by itself (exit code ${code ?? 'none'}), starting again`);
  try {
    const urls = await startServers(options.given, { folder, env, reporter, stopList, signal, onExit });
    return { ...urls, home: folder.home, stop: () => stopList.stopAll() };
  } catch (error) {
    reporter.pause();
    await stopList.stopAll();
    throw error;
  }
}

function openParent(home: string): string {
  const parent = stateFolderAt(openStateFolder(home).home).throwaway;
  try {
    mkdirSync(parent, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 });
    return parent;
  } catch (error) {
    throw fileFault(error, parent);
  }
}

// A test may have started throwaway servers below its own throwaway folder and been killed before it stopped them.
async function discard(home: string, { lock, reporter }: { lock: StateLock; reporter: StepReporter }): Promise<void> {
  const folder = stateFolderAt(home);
  if (exists(folder.throwaway)) await sweep(folder.throwaway, reporter);
  removeRelocatedData(folder);
  lock.release();
  rmSync(home, { recursive: true, force: true });
}

// Folders of runs whose process is gone: their servers are stopped, then they are removed. Those of living runs are left alone.
async function sweep(parent: string, reporter: StepReporter): Promise<void> {
  for (const name of readdirSync(parent)) {
    const lock = takeAbandoned(join(parent, name));
    if (lock === undefined) continue;
    await stopLeftovers(openStateFolder(join(parent, name)), reporter);
    await discard(join(parent, name), { lock, reporter });
    reporter.line('clean-up', `removed the test servers of a killed run (${basename(name)})`);
  }
}

function takeAbandoned(home: string): StateLock | undefined {
  // Named after its process. One that lives may have made its folder a moment ago and not locked it yet.
  const { lock } = stateFolderAt(home);
  if (!exists(lock) && identify(Number.parseInt(basename(home), 10)) !== undefined) return undefined;
  try {
    return takeLock(lock, 'clean-up');
  } catch (error) {
    // It is somebody's; or it is being made or removed at this moment.
    if (error instanceof StackFault || errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
