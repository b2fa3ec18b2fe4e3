// Keeps the partitions of the tables that grow with every flow: makes those of the next months and drops months that nothing keeps any more.
// Any number of processes may run it: a lock in PostgreSQL lets one at a time do something.
import { createLoop, type Logger, type Loop, type PassResult } from '@millrace/process';
import { dropMonth, makePartitions, readRetention, type Database } from '@millrace/store';
import { defaultAgeMs } from './retention.ts';

export type PartitionsDeps = {
  database: Database;
  /** How long flows are kept whose definition says nothing; 0: for ever. */
  retentionDays: number;
  log: Logger;
  onPass(pass: { loop: string; durationMs: number; failed: boolean }): void;
};

const INTERVAL_MS = 60 * 60_000;

/** A pass that fails because a table was locked for too long is tried again within seconds. */
export function createPartitions(deps: PartitionsDeps): Loop {
  return createLoop({
    name: 'partitions',
    intervalMs: INTERVAL_MS,
    log: deps.log,
    onPass: deps.onPass,
    runOnce: () => keepPartitions(deps),
  });
}

async function keepPartitions({ database, retentionDays, log }: PartitionsDeps): Promise<PassResult> {
  for (const made of await makePartitions(database, new Date())) {
    if (made.outcome === 'made') log.info(made, 'made a partition');
    else log.error(made, 'a month has too many rows in the default partition to make it one of its own: they stay there');
  }
  const dropped = await dropMonth(database, await readRetention(database.main, defaultAgeMs(retentionDays)));
  if (dropped === undefined) return 'idle';
  log.info(dropped, 'dropped a month of flows');
  return 'again';
}
