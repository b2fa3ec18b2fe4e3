// Claims deliveries in batches: first the Redis lock, then the lease and fence in PostgreSQL. Gives locks back in batches too.
import { createMicroBatcher, type Logger } from '@millrace/process';
import type { Keys, LockRequest, Locks, UpdatePublisher } from '@millrace/redis';
import type { FlowRegistry } from '@millrace/sdk';
import type { JobRef } from '@millrace/shared';
import { claimPhases, codeKeys, isDataFault, noteAbsent, type ClaimResult, type Database, type HeldDefinition } from '@millrace/store';
import type { EventPublisher } from './event-publisher.ts';

export type PhaseClaims = {
  claim(job: JobRef): Promise<ClaimResult>;
  /** Gives the phase's lock back. Never fails: a lock that stays ends with its time to live. */
  unlock(phaseId: string): void;
  lockOf(phaseId: string): LockRequest;
  drain(): Promise<void>;
};

export type PhaseClaimsDeps = {
  database: Database;
  locks: Locks;
  keys: Keys;
  publisher: EventPublisher;
  updates: Pick<UpdatePublisher, 'publishControl'>;
  /** What this worker can run. */
  registry: Pick<FlowRegistry, 'list'>;
  workerId: string;
  leaseMs: number;
  log: Logger;
};

const LOCKED_RETRY_MS = 500;
const BATCH = { batchMax: 200, inFlightMax: 2, pendingMax: 10_000 };

export function createPhaseClaims(deps: PhaseClaimsDeps): PhaseClaims {
  const lockOf = (phaseId: string): LockRequest => ({ key: deps.keys.phaseLock(phaseId), token: deps.workerId });
  const claims = createMicroBatcher<JobRef, ClaimResult>({
    ...BATCH,
    isItemFault: isDataFault,
    send: (jobs) => claimBatch(deps, jobs, lockOf),
  });
  const unlocks = createMicroBatcher<string, null>({
    ...BATCH,
    send: async (ids) => {
      await deps.locks.release(ids.map(lockOf));
      return ids.map(() => null);
    },
  });
  return {
    claim: (job) => claims.add(job),
    unlock: (phaseId) => {
      unlocks.add(phaseId).catch((error: unknown) => {
        deps.log.debug({ err: error, phaseId }, 'a lock was not given back and will end by itself');
      });
    },
    lockOf,
    drain: async () => {
      await claims.drain();
      await unlocks.drain();
    },
  };
}

async function claimBatch(
  deps: PhaseClaimsDeps,
  jobs: readonly JobRef[],
  lockOf: (phaseId: string) => LockRequest,
): Promise<ClaimResult[]> {
  const locked = await tryLocks(
    deps,
    jobs.map((job) => lockOf(job.id)),
  );
  const mine = jobs.filter((_, index) => locked[index]);
  if (mine.length === 0) return jobs.map(() => ({ kind: 'not-yet', untilMs: LOCKED_RETRY_MS }));
  const lease = { worker: deps.workerId, leaseMs: deps.leaseMs, holds: codeKeys(deps.registry.list()) };
  const claimed = await claimPhases(deps.database.hot, mine, lease);
  deps.publisher.publish(claimed);
  if (claimed.absent.length > 0) void tellOthers(deps, claimed.absent);
  let next = 0;
  return locked.map((isMine) => (isMine ? (claimed.results[next++] ?? { kind: 'stale' }) : { kind: 'not-yet', untilMs: LOCKED_RETRY_MS }));
}

// The phases are held, whatever becomes of this: held ones whose definition was not written down are found within a minute.
async function tellOthers(deps: PhaseClaimsDeps, absent: readonly HeldDefinition[]): Promise<void> {
  deps.log.debug({ definitions: absent }, 'phases came here whose code this worker does not hold');
  try {
    await noteAbsent(deps.database.main, absent);
    await deps.updates.publishControl({ type: 'code' });
  } catch (error) {
    deps.log.debug({ err: error }, 'workers that hold the code could not be told');
  }
}

// Redis away: PostgreSQL decides alone. The lock only saves the work of a claim that would be refused.
async function tryLocks(deps: PhaseClaimsDeps, requests: readonly LockRequest[]): Promise<boolean[]> {
  try {
    return await deps.locks.acquire(requests, deps.leaseMs);
  } catch (error) {
    deps.log.debug({ err: error }, 'locks are not available, the lease decides alone');
    return requests.map(() => true);
  }
}
