// Writes how attempts ended: completions and releases combined, failures one by one; then rings the doorbell and dispatches what became ready.
import { setTimeout as delay } from 'node:timers/promises';
import { createMicroBatcher, type Logger } from '@millrace/process';
import { isEndEvent, type Dispatch } from '@millrace/shared';
import {
  asAppError,
  awaitCallback,
  completePhases,
  failPhase,
  isDataFault,
  isTransient,
  quarantinePhase,
  releasePhases,
  suspendPhases,
} from '@millrace/store';
import type {
  CallbackWait,
  CompletionOutcome,
  ContinuedPhase,
  Database,
  DeadlyPhase,
  FailureOutcome,
  PhaseCompletion,
  PhaseFailure,
  PhaseRelease,
  PhaseSuspension,
  Queryable,
} from '@millrace/store';
import type { EventPublisher, EventSource } from './event-publisher.ts';

export type PhaseCommits = {
  /** Whether the result was committed, or the fence refused it, and the phase to go on with. */
  complete(completion: PhaseCompletion): Promise<{ committed: boolean; continued: ContinuedPhase | null }>;
  /** Completes inside a handler's own transaction. Call `announce` with the outcome after its COMMIT. */
  completeWithin(client: Queryable, completion: PhaseCompletion): Promise<CompletionOutcome>;
  announce(outcome: CompletionOutcome): void;
  fail(failure: PhaseFailure): Promise<boolean>;
  /** Fails it for good, because its process dies under it. */
  quarantine(deadly: DeadlyPhase): Promise<boolean>;
  release(release: PhaseRelease): Promise<boolean>;
  /** False when the fence refused it. */
  suspend(suspension: PhaseSuspension): Promise<boolean>;
  /** Parks the phase until its service calls back. */
  awaitCallback(wait: CallbackWait): Promise<boolean>;
  drain(): Promise<void>;
};

/** What a statement has changed, as far as others are told of it. */
type Announced = Pick<CompletionOutcome, 'events' | 'dispatches'> & Partial<CompletionOutcome>;

export type PhaseCommitsDeps = {
  database: Database;
  publisher: EventPublisher;
  dispatch: (dispatches: readonly Dispatch[]) => void;
  /** Something ended that others wait for: child flows, or places under a key. */
  onFreed(freed: { children: boolean; admissions: boolean }): void;
  /** Of phases that are gone on with. */
  leaseMs: number;
  log: Logger;
};

const COMPLETION_CHARS_MAX = 8 * 1024 * 1024;
const BATCH = { batchMax: 200, inFlightMax: 2, pendingMax: 10_000 };
/** A result is worth waiting for: while PostgreSQL is away nobody else can take the phase either. */
const OUTAGE_WAIT_MS = 60_000;
const OUTAGE_RETRY_MS = 500;

export function createPhaseCommits(deps: PhaseCommitsDeps): PhaseCommits {
  const announce = (outcome: Announced) => {
    deps.publisher.publish(isEventSource(outcome) ? outcome : outcome.events);
    deps.dispatch(outcome.dispatches);
    const freed = { children: outcome.endedChildren === true, admissions: outcome.admissions === true };
    if (freed.children || freed.admissions) deps.onFreed(freed);
  };
  const completions = createMicroBatcher<PhaseCompletion, { committed: boolean; continued: ContinuedPhase | null }>({
    ...BATCH,
    // Results may have a mebibyte each.
    weigh: (completion) => completion.outputJson.length,
    weightMax: COMPLETION_CHARS_MAX,
    isItemFault: isDataFault,
    send: async (items) => {
      const outcome = await throughOutage(() => completePhases(deps.database.hot, items, { dispatch: true, leaseMs: deps.leaseMs }));
      announce(outcome);
      return outcome.committed.map((committed, index) => ({ committed, continued: outcome.continued[index] ?? null }));
    },
  });
  const releases = createMicroBatcher<PhaseRelease, boolean>({
    ...BATCH,
    send: async (items) => {
      const outcome = await throughOutage(() => releasePhases(deps.database.hot, items));
      announce(outcome);
      return outcome.released;
    },
  });
  const suspensions = createMicroBatcher<PhaseSuspension, boolean>({
    ...BATCH,
    send: async (items) => {
      const outcome = await throughOutage(() => suspendPhases(deps.database.hot, items));
      announce(outcome);
      return outcome.suspended;
    },
  });
  const failing = async (send: () => Promise<FailureOutcome>) => {
    const outcome = await throughOutage(send);
    deps.publisher.publish(outcome.events);
    if (outcome.events.some((event) => isEndEvent(event.type))) deps.onFreed({ children: true, admissions: true });
    return outcome.committed;
  };
  return {
    complete: (completion) => completions.add(completion),
    completeWithin: (client, completion) => completePhases(client, [completion], { dispatch: true, leaseMs: deps.leaseMs }),
    announce,
    fail: (failure) => failing(() => failPhase(deps.database, failure)),
    quarantine: (deadly) => failing(() => quarantinePhase(deps.database, deadly)),
    release: (release) => releases.add(release),
    suspend: (suspension) => suspensions.add(suspension),
    awaitCallback: async (wait) => {
      const outcome = await throughOutage(() => awaitCallback(deps.database, wait));
      deps.publisher.publish(outcome.events);
      return outcome.committed;
    },
    drain: async () => {
      await completions.drain();
      await releases.drain();
      await suspensions.drain();
    },
  };
}

// Not asked for its events, it does not make them.
function isEventSource(outcome: Announced): outcome is Announced & EventSource {
  return outcome.subjects !== undefined;
}

// Sending a commit again is safe: had the first one been written, the fence refuses the second, and the reconciler dispatches what it made ready.
async function throughOutage<T>(send: () => Promise<T>): Promise<T> {
  const giveUpAt = performance.now() + OUTAGE_WAIT_MS;
  for (;;) {
    try {
      return await send();
    } catch (error) {
      if (!isTransient(error) || performance.now() > giveUpAt) throw asAppError(error);
      await delay(OUTAGE_RETRY_MS * (0.5 + Math.random()));
    }
  }
}
