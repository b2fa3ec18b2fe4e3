// Tells a process from a later one that got the same id, so that we never signal a stranger.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Where a process id came from. Written to lock and run files, compared before any signal. */
export type ProcessIdentity = { pid: number; startedAs: string };

/** When the process started, in the system's own terms, or undefined if there is no such process (a zombie counts as none). */
function startOf(pid: number): string | undefined {
  return process.platform === 'linux' ? startOnLinux(pid) : startByPs(pid);
}

function startOnLinux(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may contain anything; fields are counted from behind it: state is the first, the start time in ticks since boot the twentieth.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${fields[19]}`;
  } catch {
    // Gone, or gone while it was read.
    return undefined;
  }
}

function startByPs(pid: number): string | undefined {
  try {
    const line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
    return line === '' || line.startsWith('Z') ? undefined : line.slice(line.indexOf(' ')).trim();
  } catch {
    // ps exits with 1 when there is no such process.
    return undefined;
  }
}

/** The identity of a running process, or undefined if none runs under that id. */
export function identify(pid: number): ProcessIdentity | undefined {
  const startedAs = startOf(pid);
  return startedAs === undefined ? undefined : { pid, startedAs };
}

/** Whether exactly that process still runs. */
export function isRunning({ pid, startedAs }: ProcessIdentity): boolean {
  return startOf(pid) === startedAs;
}

/** Checks the shape of what a file held. */
export function isProcessIdentity(value: unknown): value is ProcessIdentity {
  return (
    typeof value === 'object' &&
    value !== null &&
    'pid' in value &&
    Number.isInteger(value.pid) &&
    'startedAs' in value &&
    typeof value.startedAs === 'string'
  );
}
