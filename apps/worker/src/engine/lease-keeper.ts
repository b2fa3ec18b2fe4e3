// Keeps the leases and locks of running phases alive, all in one statement and one script, and stops what has lost its lease.
import { setTimeout as delay } from 'node:timers/promises';
import { createLoop, withTimeout, type Clock, type Logger, type Loop } from '@millrace/process';
import type { LockRequest, Locks } from '@millrace/redis';
import { cancelledAmong, renewHeldLease, renewLeases, type Database } from '@millrace/store';
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
/** A row that is being committed is free again after this; what is held then is held often. */
const MOMENT_MS = 100;
/** Renewals that wait for a row at a time: connections of the main pool. */
const WAITING_MAX = 4;

export function createLeaseKeeper(deps: LeaseKeeperDeps): Loop {
  const renewedAtMs = new WeakMap<RunningPhase, number>();
  const trustedAtMs = (running: RunningPhase) => renewedAtMs.get(running) ?? running.claimedAtMs;
  return createLoop({
    name: 'lease-keeper',
    intervalMs: Math.floor(deps.leaseMs / 3),
    log: deps.log,
    onPass: deps.onPass,
    runOnce: async (signal) => {
      const all = deps.running.list().filter((running) => !isLost(running));
      const trust = (running: RunningPhase, atMs: number) => renewedAtMs.set(running, atMs);
      try {
        const busy = await renewAll(deps, all, trust);
        await insist(deps, busy, { trust, signal });
        return 'idle';
      } catch (error) {
        // Trying again soon matters more here than anywhere: waiting longer after a failure would lose every lease of the process.
        if (!signal.aborted)
          deps.log.warn({ reason: error instanceof Error ? error.message : String(error) }, 'leases were not renewed, trying again');
        return { waitMs: RETRY_MS };
      } finally {
        stopDistrusted(deps, all, trustedAtMs);
      }
    },
  });
}

/** Notes since when a lease can be counted on: from before the statement that renewed it. */
type Trust = (running: RunningPhase, atMs: number) => void;

// What is cancelled has no lease either.
function isLost(running: RunningPhase): boolean {
  const reason = running.stopReason();
  return reason === 'lease-lost' || reason === 'cancelled';
}

// Answers those whose rows somebody held just now.
async function renewAll(deps: LeaseKeeperDeps, all: readonly RunningPhase[], trust: Trust): Promise<RunningPhase[]> {
  if (all.length === 0) return [];
  const startedAtMs = deps.clock.monotonicMs();
  // Locks first: a lock must not outlive the lease by much. That Redis is away does not matter here.
  await deps.locks
    .renew(
      all.map((running) => deps.lockOf(running.deliveryId)),
      deps.leaseMs,
    )
    .catch((error: unknown) => {
      deps.log.debug({ err: error }, 'locks were not renewed');
    });
  const alive = await withTimeout(renewLeases(deps.database.hot, all.map(heldOf), leaseOf(deps)), deps.leaseMs / 4);
  // A row that stays held for longer than a lease is trusted no longer than that: it may be given away as soon as it is free.
  for (const running of all) if (alive.get(running.phase.id) === 'renewed') trust(running, startedAtMs);
  await stopLost(
    deps,
    all.filter((running) => !alive.has(running.phase.id)),
  );
  return all.filter((running) => alive.get(running.phase.id) === 'busy');
}

// A row that is held now is mostly being committed. One that its handler holds again and again would never be found free: it is waited for.
async function insist(
  deps: LeaseKeeperDeps,
  busy: readonly RunningPhase[],
  { trust, signal }: { trust: Trust; signal: AbortSignal },
): Promise<void> {
  if (busy.length === 0) return;
  await delay(MOMENT_MS, undefined, { signal });
  const there = new Set(deps.running.list());
  const waiting = await renewAll(
    deps,
    busy.filter((running) => there.has(running)),
    trust,
  );
  const endAtMs = deps.clock.monotonicMs() + deps.leaseMs / 4;
  const renewOneByOne = async () => {
    for (let next = waiting.pop(); next !== undefined && deps.clock.monotonicMs() < endAtMs; next = waiting.pop()) {
      const startedAtMs = deps.clock.monotonicMs();
      if (await renewHeldLease(deps.database.main, heldOf(next), leaseOf(deps))) trust(next, startedAtMs);
    }
  };
  await withTimeout(Promise.all(Array.from({ length: WAITING_MAX }, renewOneByOne)), deps.leaseMs / 4);
}

function heldOf({ phase }: RunningPhase): { id: string; fence: number } {
  return { id: phase.id, fence: phase.fence };
}

function leaseOf({ workerId, leaseMs }: LeaseKeeperDeps): { worker: string; leaseMs: number } {
  return { worker: workerId, leaseMs };
}

// A cancel takes the lease away; the message about it may not have come, or come later. Handlers get to know which of the two it was.
async function stopLost(deps: LeaseKeeperDeps, lost: readonly RunningPhase[]): Promise<void> {
  const cancelled = await withTimeout(cancelledAmong(deps.database.main, lost.map(heldOf)), deps.leaseMs / 4).catch((error: unknown) => {
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
