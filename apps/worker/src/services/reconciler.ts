// Compares what PostgreSQL says should be queued or running with what is, and repairs: leases that ran out, start times that came,
// signals that came early or not in time, jobs that a wiped Redis or a person lost. Level-triggered: running it twice changes nothing, and any number of processes may run it.
import { createLoop, type Clock, type Logger, type Loop } from '@millrace/process';
import type { JobDispatcher } from '@millrace/queue';
import { jobIdOf, type Dispatch } from '@millrace/shared';
import {
  closeUnanswered,
  deliverKept,
  dispatchAgain,
  expiredLeases,
  failOverdueCallbacks,
  failOverdueWait,
  isCondemned,
  overdueWaits,
  postponeCheck,
  quarantinePhase,
  releaseHeld,
  releasePhases,
  resumeDuePauses,
  unclaimed,
  undeliveredSignals,
  wakePhases,
  WORKER_DEAD_MS,
  type Database,
  type LostClaim,
} from '@millrace/store';
import type { EventPublisher } from '../engine/event-publisher.ts';

export type ReconcilerDeps = {
  database: Database;
  dispatcher: JobDispatcher;
  publisher: EventPublisher;
  dispatch(dispatches: readonly Dispatch[]): void;
  /** One pass over flows whose time is over; answers how many it looked at. */
  endOverdueFlows(limit: number): Promise<number>;
  /** One pass over the imports. */
  reconcileImports(): Promise<'again' | 'idle'>;
  clock: Clock;
  log: Logger;
  onPass(pass: { loop: string; durationMs: number; failed: boolean }): void;
};

const INTERVAL_MS = 1_000;
const ROWS_MAX = 500;
/** Between two looks at the leases, PostgreSQL may have been away for longer than this without anybody here having noticed. */
const OUT_OF_TOUCH_MS = 5_000;
/** Longer than a living worker takes to hear of a cancel by its lease and to leave a deaf handler behind. */
const RECEIPT_ANSWER_MS = 30_000;

export function createReconciler(deps: ReconcilerDeps): Loop {
  const touch = createTouch(deps.clock);
  return createLoop({
    name: 'reconciler',
    intervalMs: INTERVAL_MS,
    log: deps.log,
    onPass: deps.onPass,
    runOnce: async () => {
      const steps = [
        (given: ReconcilerDeps) => recoverLost(given, touch),
        releaseDue,
        redispatchMissing,
        endWaits,
        deliverSignals,
        endPauses,
        endOverdue,
        endCallbacks,
        closeReceipts,
        reconcileImports,
      ];
      const results = [];
      for (const step of steps) results.push(await settle(() => step(deps)));
      // One step that fails must not keep the others from their work; the pass as a whole has failed all the same.
      for (const result of results) if (result.kind === 'failed') throw result.error;
      return results.some((result) => result.kind === 'done' && result.count >= ROWS_MAX) ? 'again' : 'idle';
    },
  });
}

type StepResult = { kind: 'done'; count: number } | { kind: 'failed'; error: unknown };

async function settle(step: () => Promise<number>): Promise<StepResult> {
  try {
    return { kind: 'done', count: await step() };
  } catch (error) {
    return { kind: 'failed', error };
  }
}

function releaseDue({ database }: ReconcilerDeps): Promise<number> {
  return releaseHeld(database.hot, ROWS_MAX);
}

function endOverdue(deps: ReconcilerDeps): Promise<number> {
  return deps.endOverdueFlows(ROWS_MAX);
}

async function reconcileImports(deps: ReconcilerDeps): Promise<number> {
  return (await deps.reconcileImports()) === 'again' ? ROWS_MAX : 0;
}

/** How long PostgreSQL has answered this process without a break. */
type Touch = { made(): void; lastedMs(): number };

function createTouch(clock: Clock): Touch {
  let sinceMs = 0;
  let lastMs = Number.NEGATIVE_INFINITY;
  return {
    made: () => {
      const nowMs = clock.monotonicMs();
      if (nowMs - lastMs > OUT_OF_TOUCH_MS) sinceMs = nowMs;
      lastMs = nowMs;
    },
    lastedMs: () => lastMs - sinceMs,
  };
}

async function recoverLost(deps: ReconcilerDeps, touch: Touch): Promise<number> {
  const { database, publisher, dispatch, log } = deps;
  const expired = await expiredLeases(database.hot, ROWS_MAX);
  touch.made();
  if (expired.length === 0) return 0;
  const [condemned, lost] = [expired.filter(isCondemned), expired.filter((one) => !isCondemned(one))];
  await endCondemned(deps, condemned, touch);
  const outcome = await releasePhases(
    database.hot,
    lost.map(({ id, fence }) => ({ id, fence, outcome: 'lost', reason: 'lease-expired', delayMs: 0 })),
  );
  publisher.publish(outcome.events);
  dispatch(outcome.dispatches);
  if (outcome.dispatches.length > 0) log.warn({ count: outcome.dispatches.length }, 'leases ran out, their phases are queued again');
  return expired.length;
}

// Nothing takes a quarantine back, so the death must be certain: the worker has not been heard of for as long as others could have heard it.
// Until then the phase is left as it is.
async function endCondemned({ database, publisher, log }: ReconcilerDeps, condemned: readonly LostClaim[], touch: Touch): Promise<void> {
  if (touch.lastedMs() < WORKER_DEAD_MS) return;
  for (const one of condemned) {
    if (one.owner !== 'dead') continue;
    const { committed, events } = await quarantinePhase(database, { ...one, seen: null });
    publisher.publish(events);
    if (committed) log.error({ phaseId: one.id, crashes: one.crashes + 1 }, 'a phase is quarantined: its workers died under it');
  }
}

async function endPauses({ database, publisher, dispatch }: ReconcilerDeps): Promise<number> {
  const { count, events, dispatches } = await resumeDuePauses(database, ROWS_MAX);
  publisher.publish(events);
  dispatch(dispatches);
  return count;
}

// Sleepers and waits whose time is over, before signals, so that many of those keep nobody asleep.
async function endWaits({ database, publisher, dispatch }: ReconcilerDeps): Promise<number> {
  const overdue = await overdueWaits(database.hot, ROWS_MAX);
  const sleepers = overdue.filter(({ suspended }) => suspended !== null).map(({ id }) => id);
  const woken = await wakePhases(database.hot, { ids: sleepers, reason: 'time', onlyDue: true });
  publisher.publish(woken.events);
  dispatch(woken.dispatches);
  for (const { id, suspended } of overdue) if (suspended === null) publisher.publish((await failOverdueWait(database, id)).events);
  return overdue.length;
}

// One by one: signals that came early are rare, and each changes one flow.
async function deliverSignals({ database, publisher, dispatch }: ReconcilerDeps): Promise<number> {
  const kept = await undeliveredSignals(database.hot, ROWS_MAX);
  for (const signal of kept) {
    const outcome = await deliverKept(database, signal);
    publisher.publish(outcome.events);
    dispatch(outcome.dispatches);
  }
  return kept.length;
}

function closeReceipts({ database }: ReconcilerDeps): Promise<number> {
  return closeUnanswered(database.main, { afterMs: RECEIPT_ANSWER_MS, limit: ROWS_MAX });
}

async function endCallbacks({ database, publisher, dispatch }: ReconcilerDeps): Promise<number> {
  const overdue = await failOverdueCallbacks(database, ROWS_MAX);
  publisher.publish(overdue.events);
  dispatch(overdue.dispatches);
  return overdue.count;
}

async function redispatchMissing({ database, dispatcher, dispatch, log }: ReconcilerDeps): Promise<number> {
  if (!dispatcher.isReady()) return 0;
  const overdue = await unclaimed(database.hot, ROWS_MAX);
  if (overdue.length === 0) return 0;
  const missing = await dispatcher.missing('flow-phase', overdue);
  const gone = new Set(missing.map((job) => jobIdOf(job)));
  await postponeCheck(
    database.hot,
    overdue.filter((job) => !gone.has(jobIdOf(job))),
  );
  const again = await dispatchAgain(database.hot, missing);
  dispatch(again);
  if (again.length > 0) log.warn({ count: again.length }, 'jobs were missing from the queue and are dispatched again');
  return overdue.length;
}
