// One delivery: claims the phase it names and runs it, and goes on with what that makes ready, phase after phase, as long as it is short
// work. Going on saves the way through the queue; a flow that takes longer gives its place to others between two phases.
import type { DeliveryOutcome } from '@millrace/queue';
import type { JobRef } from '@millrace/shared';
import { isTransient, type ClaimedPhase } from '@millrace/store';
import type { AttemptEnd, PhaseRunnerDeps } from './attempt.ts';
import { runAttempt } from './run-attempt.ts';

export type PhaseRunner = {
  /** A delivery of the queue, which is told what became of it. */
  handle(job: JobRef): Promise<DeliveryOutcome>;
  /** One that the queue knows nothing of. */
  handleDirectly(job: JobRef): Promise<void>;
  /** From now on no delivery goes on with a further phase. */
  stopGoingOn(): void;
};

/** A delivery that cannot be claimed yet is looked at again after this at the latest. */
const LATER_MS_MAX = 5_000;
const LATER_MS_MIN = 100;
const UNAVAILABLE_RETRY_MS = 1_000;
/** A delivery does not go on after this time, nor with more phases than this, so that others have their turn. */
const GO_ON_MS_MAX = 1_000;
const GO_ON_PHASES_MAX = 100;

export function createPhaseRunner(deps: PhaseRunnerDeps): PhaseRunner {
  let mayGoOn = true;
  const runAll = async (first: ClaimedPhase, claimedAtMs: number, isQueued: boolean): Promise<DeliveryOutcome> => {
    const goesOn = (count: number) => mayGoOn && count < GO_ON_PHASES_MAX && deps.clock.monotonicMs() - claimedAtMs < GO_ON_MS_MAX;
    let end: AttemptEnd = await runAttempt(deps, { phase: first, claimedAtMs, deliveryId: first.id, goesOn: () => goesOn(1) });
    const outcome = end.outcome;
    if (!isQueued) dispatchRetry(deps, first, outcome);
    for (let count = 2; end.next !== null; count += 1) {
      const carried = {
        phase: end.next,
        claimedAtMs: end.nextClaimedAtMs ?? deps.clock.monotonicMs(),
        deliveryId: first.id,
        goesOn: () => goesOn(count),
      };
      end = await runAttempt(deps, carried);
      dispatchRetry(deps, carried.phase, end.outcome);
    }
    return outcome;
  };
  const deliver = async (job: JobRef, isQueued: boolean): Promise<DeliveryOutcome> => {
    const claimedAtMs = deps.clock.monotonicMs();
    try {
      const claim = await deps.claims.claim(job);
      if (claim.kind === 'stale') return { kind: 'finished' };
      if (claim.kind === 'not-yet') return { kind: 'later', delayMs: Math.min(LATER_MS_MAX, Math.max(LATER_MS_MIN, claim.untilMs)) };
      return await runAll(claim.phase, claimedAtMs, isQueued);
    } catch (error) {
      // Nothing was lost: what was claimed ends with its lease, and this delivery comes again.
      if (!isTransient(error)) throw error;
      deps.log.debug({ err: error }, 'a delivery could not be worked on now');
      return { kind: 'later', delayMs: UNAVAILABLE_RETRY_MS * (0.5 + deps.random()) };
    } finally {
      deps.claims.unlock(job.id);
    }
  };
  return {
    stopGoingOn: () => {
      mayGoOn = false;
    },
    handle: (job) => deliver(job, true),
    // What cannot be claimed now is found as a job that is missing from the queue.
    handleDirectly: async (job) => {
      await deliver(job, false);
    },
  };
}

// A phase that was gone on with, or run directly, has no job of its own that the queue could bring again.
function dispatchRetry(deps: PhaseRunnerDeps, phase: ClaimedPhase, outcome: DeliveryOutcome): void {
  if (outcome.kind !== 'retry') return;
  const { id, generation, workspace, priority } = phase;
  deps.dispatch([
    { id, generation, workspace, priority, attempts: Math.max(1, phase.attemptMax - phase.attempt), delayMs: outcome.delayMs },
  ]);
}
