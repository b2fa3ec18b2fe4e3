// Stops what a supervisor that was killed left running on this state folder. Call it only while holding the folder's lock.
import type { StepReporter } from '../terminal/step-reporter.ts';
import { stopProcess } from './process/signal-process.ts';
import { forgetRun, leftoverRuns, type RunRecord } from './state/run-records.ts';
import type { StateFolder } from './state/state-folder.ts';

/** Leftovers serve nobody any more, so they get less time than in an orderly stop. */
const stopWithinMs = 10_000;

/** Services first, the servers they use after them; each identified by its start time, so no stranger with a reused id is touched. */
export async function stopLeftovers(folder: StateFolder, reporter: StepReporter): Promise<void> {
  const runs = leftoverRuns(folder);
  if (runs.length === 0) return;
  const step = reporter.step('leftovers', { text: 'stopping what a killed start left running' });
  const isServer = ({ name }: RunRecord): boolean => name === 'postgres' || name === 'redis';
  const stop = async (run: RunRecord): Promise<void> => {
    await stopProcess(run, { stopSignal: run.stopSignal, withinMs: stopWithinMs });
    forgetRun(folder, run.name);
  };
  await Promise.all(runs.filter((run) => !isServer(run)).map(stop));
  await Promise.all(runs.filter(isServer).map(stop));
  step.done(`stopped what a killed start left running: ${runs.map(({ name, pid }) => `${name} (pid ${pid})`).join(', ')}`);
}
