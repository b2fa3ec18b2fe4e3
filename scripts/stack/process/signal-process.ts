// Sends signals to processes and process groups, taking "it is gone already" for success; and stops a process that is not our child.
import { errorCode } from '../stack-fault.ts';
import { isRunning, type ProcessIdentity } from '../state/process-identity.ts';
import { waitUntil } from './wait-until.ts';

/** Sends the signal; `pid` negative means the group. Returns false if there is nobody (left) to get it. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return false;
    throw error;
  }
}

/** Asks with `stopSignal`, waits `withinMs`, then kills the whole group. Resolves when the process is gone (or could not be killed within 5 s more). */
export async function stopProcess(
  identity: ProcessIdentity,
  { stopSignal, withinMs }: { stopSignal: NodeJS.Signals; withinMs: number },
): Promise<void> {
  if (!isRunning(identity)) return;
  sendSignal(identity.pid, stopSignal);
  if (await waitUntil(() => !isRunning(identity), { withinMs })) return;
  sendSignal(identity.pid, 'SIGKILL');
  sendSignal(-identity.pid, 'SIGKILL');
  await waitUntil(() => !isRunning(identity), { withinMs: 5_000 });
}
