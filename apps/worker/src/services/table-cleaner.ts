// Keeps small tables right: clears away rows of workers long dead, pauses that have ended and old rates, and renews the list of absent
// definitions from the phases that wait for them. Nothing depends on when it does, and any number of processes may do it at once.
import { createLoop, type Logger, type Loop } from '@millrace/process';
import { deleteDeadWorkers, deleteEndedPauses, deleteOldMinutes, renewAbsent, type Database } from '@millrace/store';

export type TableCleanerDeps = {
  database: Pick<Database, 'main'>;
  log: Logger;
  onPass(pass: { loop: string; durationMs: number; failed: boolean }): void;
};

const INTERVAL_MS = 60_000;

export function createTableCleaner({ database, log, onPass }: TableCleanerDeps): Loop {
  return createLoop({
    name: 'table-cleaner',
    intervalMs: INTERVAL_MS,
    log,
    onPass,
    runOnce: async () => {
      for (const step of [deleteDeadWorkers, deleteEndedPauses, deleteOldMinutes, renewAbsent]) await step(database.main);
      return 'idle';
    },
  });
}
