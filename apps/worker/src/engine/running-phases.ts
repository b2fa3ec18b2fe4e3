// The phases that this process works on just now: who must be told to stop, whose leases are to be renewed.
import type { ClaimedPhase } from '@millrace/store';
import { PhaseStopped, type StopReason } from './outcome.ts';

export type RunningPhase = {
  readonly phase: ClaimedPhase;
  /** Monotonic time of the claim, in milliseconds. */
  readonly claimedAtMs: number;
  /** The phase whose delivery carries this one; the lock is held under its id. */
  readonly deliveryId: string;
  readonly signal: AbortSignal;
  /** Why it was told to stop; undefined while it was not. */
  stopReason(): StopReason | undefined;
  /** Tells it to stop. The first reason stays, but for the soft time limit, which gives way to every other. */
  stop(reason: StopReason): void;
  /** Settles once it was told to stop for another reason than its soft time limit, which leaves it time until the hard one. */
  readonly stopped: Promise<StopReason>;
};

export type PhaseClaim = { claimedAtMs: number; deliveryId: string };

export type RunningPhases = {
  add(phase: ClaimedPhase, claim: PhaseClaim): RunningPhase;
  remove(running: RunningPhase): void;
  list(): RunningPhase[];
  /** Tells every running phase of a flow to stop; answers how many there were. */
  stopFlow(flowId: string, reason: StopReason): number;
  /** Those that are added later are told at once: a claim may have been under way. */
  stopAll(reason: StopReason): void;
};

export function createRunningPhases(): RunningPhases {
  const byFence = new Map<string, RunningPhase>();
  let stoppedAll: StopReason | undefined;
  const keyOf = (phase: ClaimedPhase) => `${phase.id}/${phase.fence}`;
  return {
    add: (phase, claim) => {
      const running = createRunningPhase(phase, claim);
      byFence.set(keyOf(phase), running);
      if (stoppedAll !== undefined) running.stop(stoppedAll);
      return running;
    },
    remove: (running) => {
      byFence.delete(keyOf(running.phase));
    },
    list: () => [...byFence.values()],
    stopFlow: (flowId, reason) => {
      const ofFlow = [...byFence.values()].filter((running) => running.phase.flowId === flowId);
      for (const running of ofFlow) running.stop(reason);
      return ofFlow.length;
    },
    stopAll: (reason) => {
      stoppedAll = reason;
      for (const running of byFence.values()) running.stop(reason);
    },
  };
}

function createRunningPhase(phase: ClaimedPhase, { claimedAtMs, deliveryId }: PhaseClaim): RunningPhase {
  const controller = new AbortController();
  const stopped = Promise.withResolvers<StopReason>();
  let reason: StopReason | undefined;
  return {
    phase,
    claimedAtMs,
    deliveryId,
    signal: controller.signal,
    stopReason: () => reason,
    stop: (why) => {
      if (reason !== undefined && (reason !== 'soft-timeout' || why === reason)) return;
      reason = why;
      controller.abort(new PhaseStopped(why));
      if (why !== 'soft-timeout') stopped.resolve(why);
    },
    stopped: stopped.promise,
  };
}
