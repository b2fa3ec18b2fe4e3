// Runs one of our processes as it is deployed: its main file on this Node, configured by environment, logging JSON lines.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export type LogEntry = { level?: string; msg?: string } & Record<string, unknown>;

export type TestProcess = {
  readonly pid: number;
  /** The last 2,000 log lines, parsed where they are JSON. */
  readonly logs: readonly LogEntry[];
  /** Settles with the first log entry that matches, also one that has passed already. @throws when the process ends first. */
  logged(match: (entry: LogEntry) => boolean): Promise<LogEntry>;
  signal(name: NodeJS.Signals): void;
  /** Settles with the exit code, or null when a signal ended it. */
  readonly exited: Promise<number | null>;
  /** SIGTERM, and SIGKILL after `timeoutMs`; settles when it is gone. */
  stop(timeoutMs?: number): Promise<void>;
};

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
/** As everywhere that our processes are started for use. */
const NODE_FLAGS = ['--max-semi-space-size=8'];
const LOGS_MAX = 2_000;
const STOP_TIMEOUT_MS = 30_000;

export type StartOptions = { env: Record<string, string>; cwd?: string };

/** @param mainFile path from the root of the repository, such as `apps/worker/src/main.ts` */
export function startProcess(mainFile: string, { env, cwd }: StartOptions): TestProcess {
  const child = spawn(process.execPath, [...NODE_FLAGS, `${REPOSITORY}${mainFile}`], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
    cwd: cwd ?? REPOSITORY,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { logs, logged } = collectLogs(child);
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  return {
    pid: child.pid ?? -1,
    logs,
    logged: (match) =>
      Promise.race([
        logged(match),
        exited.then((code) => Promise.reject(new Error(`${mainFile} ended with ${code}: ${JSON.stringify(logs.slice(-5))}`))),
      ]),
    signal: (name) => {
      child.kill(name);
    },
    exited,
    stop: async (timeoutMs = STOP_TIMEOUT_MS) => {
      child.kill('SIGCONT');
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
      await exited;
      clearTimeout(timer);
    },
  };
}

function collectLogs(child: ChildProcess) {
  const logs: LogEntry[] = [];
  const waiting = new Set<{ match: (entry: LogEntry) => boolean; resolve: (entry: LogEntry) => void }>();
  const add = (line: string) => {
    const entry = parse(line);
    if (logs.push(entry) > LOGS_MAX) logs.shift();
    for (const waiter of waiting) {
      if (!waiter.match(entry)) continue;
      waiting.delete(waiter);
      waiter.resolve(entry);
    }
  };
  for (const stream of [child.stdout, child.stderr]) if (stream) createInterface({ input: stream }).on('line', add);
  const logged = (match: (entry: LogEntry) => boolean) =>
    new Promise<LogEntry>((resolve) => {
      const found = logs.find(match);
      if (found) resolve(found);
      else waiting.add({ match, resolve });
    });
  return { logs, logged };
}

function parse(line: string): LogEntry {
  try {
    const entry: unknown = JSON.parse(line);
    return entry !== null && typeof entry === 'object' ? (entry as LogEntry) : { msg: line };
  } catch {
    return { msg: line };
  }
}
