// One long-running child: started in its own process group with its log in a file, started again when it dies by itself, stopped with a deadline.
// What the child is and when it counts as ready is the caller's matter (postgres/, redis/, services.ts).
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { forgetRun, recordRun } from '../state/run-records.ts';
import type { StateFolder } from '../state/state-folder.ts';
import { logSizeBytes, logTail, openLog, rotateLog } from './log-file.ts';
import { healthyAfterMs, restartDelayMs } from './restart-backoff.ts';
import { sendSignal } from './signal-process.ts';
import { waitUntil } from './wait-until.ts';

export type ProcessSpec = {
  /** Also the name of its log and of its run record. */
  name: string;
  command: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  cwd?: string;
  /** What the program sees as its own name; programs that are several in one decide by it. */
  argv0?: string | undefined;
  account?: { uid: number; gid: number } | undefined;
  /** Asks it to end. SIGTERM for most, SIGINT ("fast") for PostgreSQL. */
  stopSignal: NodeJS.Signals;
  /** Ends it at once, no questions. SIGKILL for most, SIGQUIT ("immediate") for PostgreSQL. */
  killSignal: NodeJS.Signals;
  /** How long it may take to end before it is killed. */
  stopWithinMs: number;
};

export type ProcessExit = {
  name: string;
  code: number | null;
  signal: NodeJS.Signals | null;
  restartInMs: number | undefined;
  lastLines: string[];
};

export type ProcessDeps = {
  folder: StateFolder;
  /** Called whenever it ended without having been asked to. */
  onExit(exit: ProcessExit): void;
};

export type SupervisedProcess = {
  readonly name: string;
  readonly logPath: string;
  /** Spawns it and waits until `isReady`. Resolves with false if it ended before, or was not ready in time; it is not restarted until it was ready once. */
  start(options: { isReady?: () => boolean | Promise<boolean>; withinMs: number; signal: AbortSignal }): Promise<boolean>;
  pid(): number | undefined;
  /** The last lines of the log that belong to the latest run. */
  lastLines(count: number): string[];
  /** Asks it to end and waits; kills it after its deadline. May be called any number of times, started or not. */
  stop(): Promise<void>;
  /** Ends it at once without waiting. */
  kill(): void;
};

/** Exit code of a service whose configuration is at fault: starting it again cannot help. */
const configurationExitCode = 78;
const rotateEveryMs = 1_000;
const shownLines = 5;

type State = {
  child: ChildProcess | undefined;
  wasReady: boolean;
  stopping: boolean;
  restarts: number;
  startedAt: number;
  logFrom: number;
  restartTimer?: NodeJS.Timeout;
  rotateTimer?: NodeJS.Timeout;
};

export function createSupervisedProcess(spec: ProcessSpec, deps: ProcessDeps): SupervisedProcess {
  const logPath = `${deps.folder.logs}/${spec.name}.log`;
  const state: State = { child: undefined, wasReady: false, stopping: false, restarts: 0, startedAt: 0, logFrom: 0 };
  const lastLines = (count: number): string[] => logTail(logPath, count, state.logFrom);

  function launch(): void {
    state.logFrom = logSizeBytes(logPath);
    state.startedAt = performance.now();
    const child = spawnChild(spec, logPath);
    state.child = child;
    if (child.pid !== undefined) recordRun(deps.folder, { name: spec.name, pid: child.pid, stopSignal: spec.stopSignal });
    // `error` comes instead of `exit` when the program could not be started at all.
    child.once('error', () => ended(child, { code: null, signal: null }));
    child.once('exit', (code, signal) => ended(child, { code, signal }));
  }

  function ended(child: ChildProcess, how: { code: number | null; signal: NodeJS.Signals | null }): void {
    if (state.child !== child) return;
    state.child = undefined;
    forgetRun(deps.folder, spec.name);
    if (state.stopping || !state.wasReady) return;
    const restartInMs = how.code === configurationExitCode ? undefined : nextDelayMs(state);
    if (restartInMs !== undefined) state.restartTimer = setTimeout(launch, restartInMs);
    deps.onExit({ name: spec.name, ...how, restartInMs, lastLines: lastLines(shownLines) });
  }

  return {
    name: spec.name,
    logPath,
    async start({ isReady, withinMs, signal }) {
      launch();
      state.rotateTimer = setInterval(() => rotateLog(logPath), rotateEveryMs).unref();
      const settled = await waitUntil(async () => state.child === undefined || (await (isReady?.() ?? true)), { withinMs, signal });
      state.wasReady = settled && state.child !== undefined;
      return state.wasReady;
    },
    pid: () => state.child?.pid,
    lastLines,
    async stop() {
      markStopping(state);
      await stopChild(state, spec);
    },
    kill() {
      markStopping(state);
      const pid = state.child?.pid;
      if (pid !== undefined) sendSignal(spec.killSignal === 'SIGKILL' ? -pid : pid, spec.killSignal);
    },
  };
}

function spawnChild(spec: ProcessSpec, logPath: string): ChildProcess {
  const log = openLog(logPath);
  try {
    return spawn(spec.command, spec.args, {
      env: spec.env,
      cwd: spec.cwd,
      ...(spec.argv0 === undefined ? {} : { argv0: spec.argv0 }),
      ...spec.account,
      stdio: ['ignore', log, log],
      // Its own process group: Ctrl-C in the terminal reaches us only, and we stop things in order.
      detached: true,
    });
  } finally {
    closeSync(log);
  }
}

function nextDelayMs(state: State): number {
  state.restarts = performance.now() - state.startedAt > healthyAfterMs ? 1 : state.restarts + 1;
  return restartDelayMs(state.restarts);
}

function markStopping(state: State): void {
  state.stopping = true;
  clearTimeout(state.restartTimer);
  clearInterval(state.rotateTimer);
}

async function stopChild(state: State, spec: ProcessSpec): Promise<void> {
  const pid = state.child?.pid;
  if (pid === undefined) return;
  const isGone = (): boolean => state.child === undefined;
  sendSignal(pid, spec.stopSignal);
  if (await waitUntil(isGone, { withinMs: spec.stopWithinMs })) return;
  sendSignal(pid, spec.killSignal);
  if (await waitUntil(isGone, { withinMs: 2_000 })) return;
  sendSignal(-pid, 'SIGKILL');
  await waitUntil(isGone, { withinMs: 2_000 });
}
