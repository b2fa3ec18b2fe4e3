// The parts of one attempt's context, each made when it is first used: hundreds of attempts are under way at a time, and most handlers use
// hardly any of them. A part that is first used after the attempt has ended is made as one that has ended. A class, since its instances
// share what a closure for each part would cost every attempt anew.
import type { Logger } from '@millrace/process';
import type { Keys, Locks, UpdatePublisher } from '@millrace/redis';
import type { FlowPlanner, ImportedRows } from '@millrace/sdk';
import type { Dispatch } from '@millrace/shared';
import type { Awaits, Database } from '@millrace/store';
import type { EventPublisher } from '../event-publisher.ts';
import { PhaseStopped } from '../outcome.ts';
import type { RunningPhase } from '../running-phases.ts';
import type { ContextServices } from './context-services.ts';
import { createPhaseChildren, type PhaseChildren } from './phase-children.ts';
import type { PhaseImports } from './phase-imports.ts';
import { createPhaseLog, type BufferedPhaseLog } from './phase-log.ts';
import { createPhaseProgress, type PhaseProgress } from './phase-progress.ts';
import { createPhaseSteps, type PhaseSteps } from './phase-steps.ts';
import { createPhaseTransaction, type PhaseTransaction } from './phase-transaction.ts';
import { createPhaseWaits, type PhaseWaits } from './phase-waits.ts';
import { createSuspension, type Suspension } from './suspension.ts';
import type { AttemptUsage } from './usage-recorder.ts';

export type ContextDeps = {
  database: Database;
  locks: Locks;
  keys: Keys;
  updates: UpdatePublisher;
  publisher: EventPublisher;
  log: Logger;
  services: ContextServices;
  imports: PhaseImports;
  planner: FlowPlanner;
  dispatch(dispatches: readonly Dispatch[]): void;
  openImported(target: { importId: string; workspace: string }): Promise<ImportedRows>;
};

export type SuspensionListener = (awaits: Awaits) => void;

export class AttemptParts {
  readonly deps: ContextDeps;
  readonly running: RunningPhase;
  #logging: BufferedPhaseLog | undefined;
  #progress: PhaseProgress | undefined;
  #usage: AttemptUsage | undefined;
  #transaction: PhaseTransaction | undefined;
  #suspension: Suspension | undefined;
  #steps: PhaseSteps | undefined;
  #waits: PhaseWaits | undefined;
  #children: PhaseChildren | undefined;
  #ended: AbortController | undefined;
  #stoppedOrEnded: AbortSignal | undefined;
  #left: AbortController | undefined;
  #awaits: Awaits | undefined;
  #listeners: SuspensionListener[] | undefined;
  #isFlushed = false;
  #isAbandoned = false;
  #isRolledBack = false;
  #isLeft = false;

  constructor(deps: ContextDeps, running: RunningPhase) {
    this.deps = deps;
    this.running = running;
  }

  get logging(): BufferedPhaseLog {
    if (this.#logging !== undefined) return this.#logging;
    const { database, publisher, log } = this.deps;
    this.#logging = createPhaseLog({ database, publisher, log, phase: this.running.phase });
    if (this.#isAbandoned) this.#logging.abandon();
    return this.#logging;
  }

  get progress(): PhaseProgress {
    if (this.#progress !== undefined) return this.#progress;
    this.#progress = createPhaseProgress({ updates: this.deps.updates, phase: this.running.phase, log: this.deps.log });
    if (this.#isFlushed || this.#isAbandoned) this.#progress.abandon();
    return this.#progress;
  }

  get usage(): AttemptUsage {
    return (this.#usage ??= this.deps.services.usage.forAttempt(this.running.phase));
  }

  get transaction(): PhaseTransaction {
    if (this.#transaction !== undefined) return this.#transaction;
    this.#transaction = createPhaseTransaction(this.deps.database);
    if (this.#isRolledBack) this.#transaction.rollback();
    return this.#transaction;
  }

  get suspension(): Suspension {
    return (this.#suspension ??= createSuspension((awaits) => {
      this.#awaits = awaits;
      for (const listener of this.#listeners ?? []) listener(awaits);
    }));
  }

  get steps(): PhaseSteps {
    if (this.#steps !== undefined) return this.#steps;
    const { running, suspension } = this;
    const plain = createPhaseSteps({
      database: this.deps.database,
      phase: running.phase,
      steps: this.deps.services.steps,
      requireGoingOn: () => {
        const reason = running.stopReason();
        if (reason !== undefined && reason !== 'soft-timeout') throw new PhaseStopped(reason);
      },
      onFenced: () => {
        running.stop('lease-lost');
      },
    });
    return (this.#steps = { ...plain, run: (name, fn) => suspension.track(() => plain.run(name, fn)) });
  }

  get waits(): PhaseWaits {
    const { suspension, steps } = this;
    return (this.#waits ??= createPhaseWaits({ database: this.deps.database, phase: this.running.phase, suspension, steps }));
  }

  get children(): PhaseChildren {
    const { running, steps, suspension } = this;
    return (this.#children ??= createPhaseChildren({
      ...this.deps,
      phase: running.phase,
      suspension,
      steps,
      onFenced: () => {
        running.stop('lease-lost');
      },
    }));
  }

  /** Aborts with the phase's signal, and when the handler has ended: what it left unawaited holds no file and no timer for nobody. */
  get stoppedOrEnded(): AbortSignal {
    if (this.#stoppedOrEnded !== undefined) return this.#stoppedOrEnded;
    this.#ended = new AbortController();
    if (this.#isFlushed || this.#isAbandoned) this.#end();
    return (this.#stoppedOrEnded = AbortSignal.any([this.running.signal, this.#ended.signal]));
  }

  /** Aborts when the handler was left where it waits. */
  get left(): AbortSignal {
    this.#left ??= new AbortController();
    if (this.#isLeft) this.#left.abort();
    return this.#left.signal;
  }

  whenSuspended(listener: SuspensionListener): void {
    (this.#listeners ??= []).push(listener);
    if (this.#awaits !== undefined) listener(this.#awaits);
  }

  openTransaction(): PhaseTransaction | undefined {
    return this.#transaction?.isOpen() === true ? this.#transaction : undefined;
  }

  rollback(): void {
    this.#isRolledBack = true;
    this.#transaction?.rollback();
  }

  flush(): Promise<unknown> | undefined {
    this.#isFlushed = true;
    this.#end();
    if (this.#logging === undefined && this.#usage === undefined && this.#progress === undefined) return undefined;
    return Promise.all([this.#logging?.flush(), this.#usage?.flush(), this.#progress?.finish()]);
  }

  leave(): void {
    this.#isLeft = true;
    this.#left?.abort();
  }

  abandon(): void {
    this.#isAbandoned = true;
    this.#end();
    this.#progress?.abandon();
    this.#logging?.abandon();
  }

  #end(): void {
    this.#ended?.abort(new Error('the handler has ended'));
  }
}
