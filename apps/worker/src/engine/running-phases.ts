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
  /**
   * Calls `listener` once it was told to stop for another reason than its soft time limit, which leaves it time until the hard one; at once if it
   * was told before.
   */
  whenStopped(listener: (reason: StopReason) => void): void;
  /** Notes that its handler did not end by itself: its process was killed, or it was left behind the fence. */
  leave(how: LeftAs): void;
  leftAs(): LeftAs | undefined;
};

export type LeftAs = 'killed' | 'fenced';

export type PhaseClaim = { claimedAtMs: number; deliveryId: string };

export type RunningPhases = {
  add(phase: ClaimedPhase, claim: PhaseClaim): RunningPhase;
  remove(running: RunningPhase): void;
  list(): RunningPhase[];
  /** Tells every running phase of a flow to stop; answers how many there were. */
  stopFlow(flowId: string, reason: StopReason): number;
  /** Those that are added later are told at once: a claim may have been under way. */
  stopAll(reason: StopReason): void;
  /** Says that a commit of this claim was refused: someone else decides about the phase. */
  refused(phase: ClaimedPhase): void;
};

export type RunningPhasesObserver = {
  /** A phase was told to stop, whether or not it had been told before. */
  onStop(running: RunningPhase, reason: StopReason): void;
  onRemove(running: RunningPhase): void;
  /** A phase was added whose flow was told to stop while its claim was under way: its lease tells whether it still may run. */
  onDoubt(): void;
};

export type RunningPhasesOptions = Partial<RunningPhasesObserver> & {
  /** Monotonic. */
  nowMs?: () => number;
};

/** Flows that were told to stop, kept for claims that were under way then. A claim takes milliseconds. */
const STOPPED_FLOWS_KEPT = 10_000;
/** A phase that a delivery goes on with was claimed some time before it is known here. A doubt too many costs one look at the leases. */
const DOUBT_MARGIN_MS = 2_000;

export function createRunningPhases(options: RunningPhasesOptions = {}): RunningPhases {
  const { nowMs = () => performance.now() } = options;
  const all = new Set<RunningPhase>();
  const flowsStoppedAtMs = new Map<string, number>();
  let stoppedAll: StopReason | undefined;
  const remember = (flowId: string) => {
    flowsStoppedAtMs.delete(flowId);
    flowsStoppedAtMs.set(flowId, nowMs());
    const oldest = flowsStoppedAtMs.keys().next();
    if (flowsStoppedAtMs.size > STOPPED_FLOWS_KEPT && oldest.done !== true) flowsStoppedAtMs.delete(oldest.value);
  };
  return {
    add: (phase, claim) => {
      const running = new Running(phase, claim, options.onStop);
      all.add(running);
      if (stoppedAll !== undefined) running.stop(stoppedAll);
      if ((flowsStoppedAtMs.get(phase.flowId) ?? Number.NEGATIVE_INFINITY) >= claim.claimedAtMs - DOUBT_MARGIN_MS) options.onDoubt?.();
      return running;
    },
    remove: (running) => {
      if (all.delete(running)) options.onRemove?.(running);
    },
    list: () => [...all],
    stopFlow: (flowId, reason) => {
      remember(flowId);
      const ofFlow = [...all].filter((running) => running.phase.flowId === flowId);
      for (const running of ofFlow) running.stop(reason);
      return ofFlow.length;
    },
    stopAll: (reason) => {
      stoppedAll = reason;
      for (const running of all) running.stop(reason);
    },
    refused: (phase) => {
      for (const running of all) if (running.phase.id === phase.id && running.phase.fence === phase.fence) running.stop('lease-lost');
    },
  };
}

// A class, since hundreds run at a time: what its instances share would else be made for each. Few handlers ask for the signal.
class Running implements RunningPhase {
  readonly phase: ClaimedPhase;
  readonly claimedAtMs: number;
  readonly deliveryId: string;
  readonly #onStop: RunningPhasesObserver['onStop'] | undefined;
  #controller: AbortController | undefined;
  #reason: StopReason | undefined;
  #firstReason: StopReason | undefined;
  #listeners: ((reason: StopReason) => void)[] | undefined;
  #left: LeftAs | undefined;

  constructor(phase: ClaimedPhase, { claimedAtMs, deliveryId }: PhaseClaim, onStop: RunningPhasesObserver['onStop'] | undefined) {
    this.phase = phase;
    this.claimedAtMs = claimedAtMs;
    this.deliveryId = deliveryId;
    this.#onStop = onStop;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#firstReason !== undefined) this.#controller.abort(new PhaseStopped(this.#firstReason));
    }
    return this.#controller.signal;
  }

  stopReason(): StopReason | undefined {
    return this.#reason;
  }

  stop(why: StopReason): void {
    this.#onStop?.(this, why);
    if (this.#reason !== undefined && (this.#reason !== 'soft-timeout' || why === this.#reason)) return;
    this.#reason = why;
    this.#firstReason ??= why;
    this.#controller?.abort(new PhaseStopped(why));
    if (why === 'soft-timeout') return;
    for (const listener of this.#listeners ?? []) listener(why);
  }

  whenStopped(listener: (reason: StopReason) => void): void {
    if (this.#reason !== undefined && this.#reason !== 'soft-timeout') listener(this.#reason);
    else (this.#listeners ??= []).push(listener);
  }

  leave(how: LeftAs): void {
    this.#left ??= how;
  }

  leftAs(): LeftAs | undefined {
    return this.#left;
  }
}
