// Keeps the leases and locks of running phases alive, all in one statement and one script, and stops what has lost its lease.
import { createLoop, withTimeout, type Clock, type Logger, type Loop } from '@millrace/process';
import type { LockRequest, Locks } from '@millrace/redis';
import { cancelledAmong, renewLeases, type Database } from '@millrace/store';
import type { RunningPhase, RunningPhases } from './running-phases.ts';

export type LeaseKeeperDeps = {
  database: Database;
  locks: Locks;
  lockOf(phaseId: string): LockRequest;
  running: RunningPhases;
  clock: Clock;
  log: Logger;
  workerId: string;
  leaseMs: number;
  onPass(pass: { loop: string; durationMs: number; failed: boolean }): void;
};

/** A worker stops trusting its lease this long before its end, counted from the start of the last renewal that succeeded. */
const TRUST_MARGIN_MS = 1_500;
const RETRY_MS = 500;

export function createLeaseKeeper(deps: LeaseKeeperDeps): Loop {
  const renewedAtMs = new WeakMap<RunningPhase, number>();
  const trustedAtMs = (running: RunningPhase) => renewedAtMs.get(running) ?? running.claimedAtMs;
  return createLoop({
    name: 'lease-keeper',
    intervalMs: Math.floor(deps.leaseMs / 3),
    log: deps.log,
    onPass: deps.onPass,
    runOnce: async () => {
      const startedAt = deps.clock.monotonicMs();
      const all = deps.running.list().filter((running) => !isLost(running));
      try {
        await renewAll(deps, all, (running) => renewedAtMs.set(running, startedAt));
        return 'idle';
      } catch (error) {
        // Trying again soon matters more here than anywhere: waiting longer after a failure would lose every lease of the process.
        deps.log.warn({ reason: error instanceof Error ? error.message : String(error) }, 'leases were not renewed, trying again');
        return { waitMs: RETRY_MS };
      } finally {
        stopDistrusted(deps, all, trustedAtMs);
      }
    },
  });
}

// What is cancelled has no lease either.
function isLost(running: RunningPhase): boolean {
  const reason = running.stopReason();
  return reason === 'lease-lost' || reason === 'cancelled';
}

async function renewAll(deps: LeaseKeeperDeps, all: readonly RunningPhase[], trust: (running: RunningPhase) => void): Promise<void> {
  if (all.length === 0) return;
  // Locks first: a lock must not outlive the lease by much. That Redis is away does not matter here.
  await deps.locks
    .renew(
      all.map((running) => deps.lockOf(running.deliveryId)),
      deps.leaseMs,
    )
    .catch((error: unknown) => {
      deps.log.debug({ err: error }, 'locks were not renewed');
    });
  const alive = await withTimeout(
    renewLeases(
      deps.database.hot,
      all.map(({ phase }) => ({ id: phase.id, fence: phase.fence })),
      { worker: deps.workerId, leaseMs: deps.leaseMs },
    ),
    deps.leaseMs / 4,
  );
  // A row that stays held for longer than a lease is trusted no longer than that: it may be given away as soon as it is free.
  for (const running of all) if (alive.get(running.phase.id) === 'renewed') trust(running);
  await stopLost(
    deps,
    all.filter((running) => !alive.has(running.phase.id)),
  );
}

// A cancel takes the lease away; the message about it may not have come, or come later. Handlers get to know which of the two it was.
async function stopLost(deps: LeaseKeeperDeps, lost: readonly RunningPhase[]): Promise<void> {
  const held = lost.map(({ phase }) => ({ id: phase.id, fence: phase.fence }));
  const cancelled = await withTimeout(cancelledAmong(deps.database.main, held), deps.leaseMs / 4).catch((error: unknown) => {
    deps.log.debug({ err: error }, 'whether phases were cancelled could not be read');
    return new Set<string>();
  });
  for (const running of lost) running.stop(cancelled.has(running.phase.id) ? 'cancelled' : 'lease-lost');
}

function stopDistrusted(deps: LeaseKeeperDeps, all: readonly RunningPhase[], trustedAtMs: (running: RunningPhase) => number): void {
  const nowMs = deps.clock.monotonicMs();
  for (const running of all) {
    if (nowMs - trustedAtMs(running) <= deps.leaseMs - TRUST_MARGIN_MS) continue;
    deps.log.warn({ flowId: running.phase.flowId, phase: running.phase.name }, 'lease could not be renewed in time');
    running.stop('lease-lost');
  }
}
