// One delivery of an import chunk from job to commit: claim, read and check the file's bytes, load the rows, tell the queue how it ended.
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@millrace/process';
import type { DeliveryOutcome, JobDispatcher } from '@millrace/queue';
import type { UpdatePublisher } from '@millrace/redis';
import type { JobRef } from '@millrace/shared';
import { openChunk, type UploadStorage } from '@millrace/storage';
import {
  claimChunk,
  failImport,
  finishImport,
  loadChunk,
  releaseChunk,
  type ClaimedChunk,
  type Database,
  type ImportFailure,
  type LoadOutcome,
} from '@millrace/store';
import { decideAfter, type ChunkDecision } from './chunk-outcome.ts';
import { keepChunkLease, LEASE_MS, type ChunkLease } from './chunk-lease.ts';
import { createChunkSource } from './chunk-source.ts';
import { announce } from './import-announcer.ts';

export type ImportEngineDeps = {
  database: Database;
  storage: UploadStorage;
  dispatcher: Pick<JobDispatcher, 'dispatch'>;
  updates: Pick<UpdatePublisher, 'publishEvents'>;
  log: Logger;
  workerId: string;
};

export type ImportEngine = {
  /** Never rejects. */
  handle(job: JobRef): Promise<DeliveryOutcome>;
  /** Chunks that are being loaded. */
  activeCount(): number;
  /** Lets chunks that run finish for most of the deadline, then has them roll back and go back to the queue at no cost of attempts. */
  drain(deadlineMs: number): Promise<void>;
};

/** A delivery that cannot be claimed yet is looked at again after this at the latest. */
const LATER_MS_MAX = 5_000;
const LATER_MS_MIN = 100;
const UNAVAILABLE_RETRY_MS = 2_000;
const DRAIN_CHECK_MS = 20;
/** Kept back from the deadline for rolling back and giving chunks back. */
const RELEASE_RESERVE_MS = 1_500;

export function createImportEngine(deps: ImportEngineDeps): ImportEngine {
  const running = new Set<ChunkLease>();
  const idleWithin = async (timeoutMs: number) => {
    const endAt = performance.now() + timeoutMs;
    while (running.size > 0 && performance.now() < endAt) await delay(DRAIN_CHECK_MS);
  };
  return {
    handle: async (job) => {
      try {
        const claim = await claimChunk(deps.database.hot, job, { worker: deps.workerId, leaseMs: LEASE_MS });
        if (claim.kind === 'not-yet') return { kind: 'later', delayMs: Math.min(LATER_MS_MAX, Math.max(LATER_MS_MIN, claim.untilMs)) };
        if (claim.kind === 'stale') return { kind: 'finished' };
        await announce(deps, { events: claim.events, dispatches: [] });
        return await runChunk(deps, claim.chunk, running);
      } catch (error) {
        // Nothing could be written about it: whoever holds the chunk's lease keeps it until that ends.
        deps.log.warn({ err: error, chunkId: job.id }, 'a chunk could not be claimed or given back');
        return { kind: 'later', delayMs: UNAVAILABLE_RETRY_MS };
      }
    },
    activeCount: () => running.size,
    drain: async (deadlineMs) => {
      await idleWithin(Math.max(0, deadlineMs - RELEASE_RESERVE_MS));
      for (const lease of running) lease.stop('shutdown');
      await idleWithin(RELEASE_RESERVE_MS);
    },
  };
}

async function runChunk(deps: ImportEngineDeps, chunk: ClaimedChunk, running: Set<ChunkLease>): Promise<DeliveryOutcome> {
  const lease = keepChunkLease(deps, chunk);
  running.add(lease);
  try {
    const bytes = await openChunk(deps.storage, {
      ...chunk,
      ref: chunk.contentRef,
      checksums: Buffer.from(chunk.checksums, 'hex'),
      fileBytes: chunk.bytesTotal,
    });
    if (bytes === null) return await fail(deps, chunk, sourceChanged());
    const outcome = await loadChunk(deps.database, {
      chunk,
      worker: deps.workerId,
      source: createChunkSource(chunk, bytes),
      signal: lease.signal,
    });
    return await conclude(deps, chunk, outcome);
  } catch (error) {
    const decision = decideAfter(error, chunk, { stopped: lease.stopReason(), random: Math.random() });
    if (decision.kind !== 'abandon')
      deps.log.warn({ err: error, importId: chunk.importId, chunk: chunk.ordinal, decision: decision.kind }, 'a chunk was not loaded');
    return await giveBack(deps, chunk, decision);
  } finally {
    lease.end();
    running.delete(lease);
  }
}

async function conclude(deps: ImportEngineDeps, chunk: ClaimedChunk, outcome: LoadOutcome): Promise<DeliveryOutcome> {
  if (outcome.kind === 'lease-lost') return { kind: 'finished' };
  if (outcome.kind === 'too-many-rejects') {
    const error = {
      code: 'too-many-rejects',
      message: `More than ${chunk.options.maxRejects ?? 0} rows were rejected; the rows of chunk ${chunk.ordinal + 1} and later ones were not loaded.`,
    };
    return fail(deps, chunk, { error, rejects: outcome.rejects, rejectCount: outcome.count });
  }
  await announce(deps, outcome);
  if (outcome.ended) await tidyUp(deps, chunk);
  return { kind: 'finished' };
}

async function fail(deps: ImportEngineDeps, chunk: ClaimedChunk, failure: ImportFailure): Promise<DeliveryOutcome> {
  const events = await failImport(deps.database, { ...chunk, worker: deps.workerId }, failure);
  await announce(deps, { events, dispatches: [] });
  return { kind: 'failed', message: failure.error.code };
}

function sourceChanged(): ImportFailure {
  return { error: { code: 'source-changed', message: 'The stored file is not the one that was uploaded.' }, rejects: [], rejectCount: 0 };
}

async function giveBack(deps: ImportEngineDeps, chunk: ClaimedChunk, decision: ChunkDecision): Promise<DeliveryOutcome> {
  const held = { id: chunk.id, fence: chunk.fence, worker: deps.workerId };
  switch (decision.kind) {
    case 'abandon':
      return { kind: 'finished' };
    case 'fail':
      return fail(deps, chunk, { error: { code: 'internal', message: decision.message }, rejects: [], rejectCount: 0 });
    case 'interrupt':
      return (await releaseChunk(deps.database.main, held, { outcome: 'interrupted', delayMs: decision.delayMs }))
        ? { kind: 'later', delayMs: decision.delayMs }
        : { kind: 'finished' };
    case 'retry':
      return (await releaseChunk(deps.database.main, held, { outcome: 'failed', delayMs: decision.delayMs }))
        ? { kind: 'retry', delayMs: decision.delayMs, message: decision.message }
        : { kind: 'finished' };
  }
}

// The import is complete whatever becomes of this: the sweep finds a file that stays, and an index that lags only costs time.
async function tidyUp(deps: ImportEngineDeps, chunk: ClaimedChunk): Promise<void> {
  const results = await Promise.allSettled([deps.storage.remove(chunk.contentRef), finishImport(deps.database, chunk)]);
  for (const result of results)
    if (result.status === 'rejected') deps.log.warn({ err: result.reason, importId: chunk.importId }, 'tidying up after an import failed');
}
