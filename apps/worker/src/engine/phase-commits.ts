// Writes how attempts ended: completions and releases combined, failures one by one; then rings the doorbell and dispatches what became ready.
import { setTimeout as delay } from 'node:timers/promises';
import { createMicroBatcher, type Logger } from '@millrace/process';
import type { Dispatch } from '@millrace/shared';
import { asAppError, awaitCallback, completePhases, failPhase, isDataFault, isTransient, releasePhases } from '@millrace/store';
import type { CallbackWait, CompletionOutcome, Database, PhaseCompletion, PhaseFailure, PhaseRelease, Queryable } from '@millrace/store';
import type { EventPublisher } from './event-publisher.ts';

export type PhaseCommits = {
  /** True when the result was committed; false when the fence refused it. */
  complete(completion: PhaseCompletion): Promise<boolean>;
  /** Completes inside a handler's own transaction. Call `announce` with the outcome after its COMMIT. */
  completeWithin(client: Queryable, completion: PhaseCompletion): Promise<CompletionOutcome>;
  announce(outcome: CompletionOutcome): void;
  fail(failure: PhaseFailure): Promise<boolean>;
  release(release: PhaseRelease): Promise<boolean>;
  /** Parks the phase until its service calls back. */
  awaitCallback(wait: CallbackWait): Promise<boolean>;
  drain(): Promise<void>;
};

export type PhaseCommitsDeps = {
  database: Database;
  publisher: EventPublisher;
  dispatch: (dispatches: readonly Dispatch[]) => void;
  log: Logger;
};

const BATCH = { batchMax: 200, inFlightMax: 2, pendingMax: 10_000 };
/** A result is worth waiting for: while PostgreSQL is away nobody else can take the phase either. */
const OUTAGE_WAIT_MS = 60_000;
const OUTAGE_RETRY_MS = 500;

export function createPhaseCommits(deps: PhaseCommitsDeps): PhaseCommits {
  const announce = (outcome: Pick<CompletionOutcome, 'events' | 'dispatches'>) => {
    deps.publisher.publish(outcome.events);
    deps.dispatch(outcome.dispatches);
  };
  const completions = createMicroBatcher<PhaseCompletion, boolean>({
    ...BATCH,
    isItemFault: isDataFault,
    send: async (items) => {
      const outcome = await throughOutage(() => completePhases(deps.database.hot, items, { dispatch: true }));
      announce(outcome);
      return outcome.committed;
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
  return {
    complete: (completion) => completions.add(completion),
    completeWithin: (client, completion) => completePhases(client, [completion], { dispatch: true }),
    announce,
    fail: async (failure) => {
      const outcome = await throughOutage(() => failPhase(deps.database, failure));
      deps.publisher.publish(outcome.events);
      return outcome.committed;
    },
    release: (release) => releases.add(release),
    awaitCallback: async (wait) => {
      const outcome = await throughOutage(() => awaitCallback(deps.database, wait));
      deps.publisher.publish(outcome.events);
      return outcome.committed;
    },
    drain: async () => {
      await completions.drain();
      await releases.drain();
    },
  };
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
