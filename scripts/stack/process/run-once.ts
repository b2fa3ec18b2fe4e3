// Runs a program to its end and keeps the end of what it printed.
import { spawn, type SpawnOptions } from 'node:child_process';
import { sendSignal } from './signal-process.ts';

export type RunOptions = {
  env: NodeJS.ProcessEnv;
  cwd?: string;
  /** What the program sees as its own name. */
  argv0?: string;
  /** Run as this user (root only). */
  account?: { uid: number; gid: number } | undefined;
  /** Written to its stdin, which is then closed. */
  input?: string;
  /** Ends the program (SIGTERM, then SIGKILL after 5 s) when aborted. */
  signal?: AbortSignal | undefined;
  /** Ends the program after this long. Default: 10 minutes. */
  timeoutMs?: number;
};

/** `code` is null if a signal ended it, and `missing` true if there is no such program. */
export type RunResult = { code: number | null; missing: boolean; output: string };

const keepCharacters = 32 * 1024;
const killAfterMs = 5_000;
const defaultTimeoutMs = 600_000;

/** Never rejects for a program that fails: the caller reads the code. stdout and stderr come together in `output`. */
export function runOnce(command: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  return new Promise((resolve) => {
    // A group of its own, so that Ctrl-C in the terminal does not reach it past us.
    const child = spawn(command, args, { ...spawnOptions(options), stdio: 'pipe', detached: true });
    let output = '';
    const keep = (chunk: string): void => {
      output = (output + chunk).slice(-keepCharacters);
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    // A program that does not read its input closes it; that is its own affair.
    child.stdin.on('error', () => undefined).end(options.input ?? '');
    const ending = endOnRequest(child.pid, options);
    child.on('error', (error) => {
      ending.forget();
      resolve({ code: null, missing: 'code' in error && error.code === 'ENOENT', output: error.message });
    });
    child.on('close', (code) => {
      ending.forget();
      resolve({ code, missing: false, output });
    });
  });
}

function spawnOptions({ env, cwd, argv0, account }: RunOptions): SpawnOptions {
  return { env, ...(cwd === undefined ? {} : { cwd }), ...(argv0 === undefined ? {} : { argv0 }), ...account };
}

// Ends the program when its time is up or the caller gives up.
function endOnRequest(pid: number | undefined, { signal, timeoutMs }: RunOptions): { forget(): void } {
  if (pid === undefined) return { forget: () => undefined };
  let killTimer: NodeJS.Timeout | undefined;
  const end = (): void => {
    sendSignal(-pid, 'SIGTERM');
    killTimer = setTimeout(() => sendSignal(-pid, 'SIGKILL'), killAfterMs);
  };
  const timer = setTimeout(end, timeoutMs ?? defaultTimeoutMs);
  signal?.addEventListener('abort', end, { once: true });
  if (signal?.aborted === true) end();
  return {
    forget() {
      clearTimeout(timer);
      clearTimeout(killTimer);
      signal?.removeEventListener('abort', end);
    },
  };
}
