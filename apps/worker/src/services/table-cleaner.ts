// Clears away small things whose time is over: rows of workers long dead, pauses that have ended, old rates. Nothing depends on when it does,
// and any number of processes may do it at once.
import { createLoop, type Logger, type Loop } from '@millrace/process';
import { deleteDeadWorkers, deleteEndedPauses, deleteOldMinutes, type Database } from '@millrace/store';

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
      for (const clear of [deleteDeadWorkers, deleteEndedPauses, deleteOldMinutes]) await clear(database.main);
      return 'idle';
    },
  });
}
