// Runs a program with our terminal as its own, and ends it when we are asked to stop.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { sendSignal } from '../stack/process/signal-process.ts';
import type { Interruption } from './interruption.ts';

/** How long it may take to end when it is asked to. */
const endWithinMs = 10_000;

/** Resolves with its exit code (128 + number if a signal ended it). Rejects if it cannot be started. */
export function runForeground(
  args: readonly string[],
  { env, cwd, interruption }: { env: NodeJS.ProcessEnv; cwd: string; interruption: Interruption },
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { env, cwd, stdio: 'inherit', detached: true });
    let timer: NodeJS.Timeout | undefined;
    const signalGroup = (signal: NodeJS.Signals): void => void (child.pid !== undefined && sendSignal(-child.pid, signal));
    const end = (): void => {
      signalGroup('SIGTERM');
      timer = setTimeout(() => signalGroup('SIGKILL'), endWithinMs);
    };
    interruption.signal.addEventListener('abort', end, { once: true });
    interruption.onKillable(() => signalGroup('SIGKILL'));
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      interruption.signal.removeEventListener('abort', end);
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
