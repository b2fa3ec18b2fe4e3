// Compares what PostgreSQL says about import chunks with what is in the queue, and repairs: leases that ran out, jobs that are gone, files
// that nobody needs. Level-triggered: running it twice changes nothing, and any number of processes may run it.
import type { Logger } from '@millrace/process';
import type { JobDispatcher } from '@millrace/queue';
import type { UpdatePublisher } from '@millrace/redis';
import { jobIdOf } from '@millrace/shared';
import type { UploadStorage } from '@millrace/storage';
import {
  dispatchChunksAgain,
  expiredChunks,
  keptContent,
  postponeChunkCheck,
  reclaimChunk,
  unclaimedChunks,
  type Database,
} from '@millrace/store';
import { announce } from './import-announcer.ts';

export type ImportReconcilerDeps = {
  database: Database;
  storage: UploadStorage;
  dispatcher: JobDispatcher;
  updates: Pick<UpdatePublisher, 'publishEvents'>;
  log: Logger;
};

export type ImportReconciler = { runOnce(): Promise<'again' | 'idle'> };

const ROWS_MAX = 200;
const SWEEP_EVERY_MS = 10 * 60_000;
/** An upload that has not got a byte for this long is dead; so is a finished file that no import refers to. */
const ORPHAN_AGE_MS = 3_600_000;

export function createImportReconciler(deps: ImportReconcilerDeps): ImportReconciler {
  let sweptAtMs = Number.NEGATIVE_INFINITY;
  return {
    runOnce: async () => {
      const counts = [await recoverLost(deps), await redispatchMissing(deps)];
      if (performance.now() - sweptAtMs > SWEEP_EVERY_MS) {
        sweptAtMs = performance.now();
        await sweepOrphans(deps);
      }
      return counts.some((count) => count === ROWS_MAX) ? 'again' : 'idle';
    },
  };
}

async function recoverLost(deps: ImportReconcilerDeps): Promise<number> {
  const expired = await expiredChunks(deps.database.hot, ROWS_MAX);
  for (const lost of expired) {
    const reclaimed = await reclaimChunk(deps.database, lost);
    if (reclaimed === null) continue;
    deps.log.warn({ chunkId: lost.id }, 'the lease of a chunk ran out');
    await announce(deps, reclaimed);
  }
  return expired.length;
}

async function redispatchMissing(deps: ImportReconcilerDeps): Promise<number> {
  if (!deps.dispatcher.isReady()) return 0;
  const overdue = await unclaimedChunks(deps.database.hot, ROWS_MAX);
  if (overdue.length === 0) return 0;
  const missing = await deps.dispatcher.missing('data-import', overdue);
  const gone = new Set(missing.map((job) => jobIdOf(job)));
  await postponeChunkCheck(
    deps.database.hot,
    overdue.filter((job) => !gone.has(jobIdOf(job))),
  );
  const dispatches = await dispatchChunksAgain(deps.database.hot, missing);
  await announce(deps, { events: [], dispatches });
  if (dispatches.length > 0) deps.log.warn({ count: dispatches.length }, 'chunks were missing from the queue and are dispatched again');
  return overdue.length;
}

async function sweepOrphans({ storage, database, log }: ImportReconcilerDeps): Promise<void> {
  const count = await storage.sweep({ olderThanMs: ORPHAN_AGE_MS, kept: (refs) => keptContent(database.main, refs) });
  if (count > 0) log.info({ count }, 'removed files of uploads that came to nothing');
}
