// Puts together what a handler gets, and what the engine does with it when the handler is done.
import type { Logger } from '@millrace/process';
import type { Keys, Locks, UpdatePublisher } from '@millrace/redis';
import type { FlowPlanner, ImportedRows, PhaseContext } from '@millrace/sdk';
import type { Dispatch } from '@millrace/shared';
import type { Awaits, Database } from '@millrace/store';
import type { EventPublisher } from '../event-publisher.ts';
import { PhaseStopped } from '../outcome.ts';
import type { RunningPhase } from '../running-phases.ts';
import { withNamedLock } from './phase-lock.ts';
import type { ContextServices } from './context-services.ts';
import { createPhaseChildren } from './phase-children.ts';
import type { PhaseImports } from './phase-imports.ts';
import { createPhaseLog } from './phase-log.ts';
import { createPhaseProgress } from './phase-progress.ts';
import { takeRateLimit } from './phase-rate-limit.ts';
import { createPhaseSteps, type PhaseSteps } from './phase-steps.ts';
import { createPhaseWaits } from './phase-waits.ts';
import { createSuspension } from './suspension.ts';
import { createPhaseTransaction, type PhaseTransaction } from './phase-transaction.ts';

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

export type AttemptContext = {
  ctx: PhaseContext;
  transaction: PhaseTransaction;
  /** Writes what is still buffered: log lines, usage and the last progress. Before the phase's end is committed. */
  flush(): Promise<void>;
  /** Settles when the handler waits for something that needs no worker. */
  suspended: Promise<Awaits>;
  /** Gives back what a handler holds that was left where it waits. */
  leave(): void;
  /** Ends what a handler that was left behind might still send in the name of the phase. */
  abandon(): void;
};

export function createContext(
  deps: ContextDeps,
  running: RunningPhase,
  given: { input: unknown; outputs: Record<string, unknown> },
): AttemptContext {
  const { phase, signal } = running;
  const logging = createPhaseLog({ ...deps, phase });
  const progress = createPhaseProgress({ updates: deps.updates, phase, log: deps.log });
  const transaction = createPhaseTransaction(deps.database);
  const { suspension, steps, waits, children } = createDurables(deps, running);
  const usage = deps.services.usage.forAttempt(phase);
  const inPlace = createPlacedWaits(signal);
  const left = new AbortController();
  const holder = { workspace: phase.workspace, token: `${phase.id}/${phase.fence}`, signal, left: left.signal };
  return {
    transaction,
    abandon: () => {
      inPlace.end();
      progress.abandon();
      logging.abandon();
    },
    suspended: suspension.suspended,
    leave: () => {
      left.abort();
    },
    flush: async () => {
      inPlace.end();
      await Promise.all([logging.flush(), usage.flush(), progress.finish()]);
    },
    ctx: {
      flowId: phase.flowId,
      phase: phase.name,
      workspace: phase.workspace,
      input: given.input,
      outputs: given.outputs,
      attempt: phase.attempt,
      idempotencyKey: `${phase.id}-${phase.run}`,
      signal,
      log: logging.log,
      progress: progress.report,
      step: steps.run,
      sleep: waits.sleep,
      waitFor: waits.waitFor,
      start: children.start,
      lock: (resource, fn, options = {}) => withNamedLock(deps, holder, { resource, fn, options }),
      rateLimit: (name, units = 1, options = {}) =>
        suspension.track(() => takeRateLimit({ rates: deps.services.rates, phase, signal: inPlace.signal() }, { name, units, options })),
      usage: usage.record,
      transaction: transaction.run,
      import: (dataset, source, options = {}) =>
        suspension.track(() => deps.imports.run({ phase, signal: inPlace.signal(), dataset, source, options })),
      imported: (importId) => deps.openImported({ importId, workspace: phase.workspace }),
    },
  };
}

/** What lets a handler go on where it was: steps, waits and child flows. */
function createDurables(deps: ContextDeps, running: RunningPhase) {
  const { phase } = running;
  const { database } = deps;
  const onFenced = () => {
    running.stop('lease-lost');
  };
  const requireGoingOn = () => {
    const reason = running.stopReason();
    if (reason !== undefined && reason !== 'soft-timeout') throw new PhaseStopped(reason);
  };
  const suspension = createSuspension();
  const plain = createPhaseSteps({ database, phase, steps: deps.services.steps, requireGoingOn, onFenced });
  const steps: PhaseSteps = { ...plain, run: (name, fn) => suspension.track(() => plain.run(name, fn)) };
  return {
    suspension,
    steps,
    waits: createPhaseWaits({ database, phase, suspension, steps }),
    children: createPhaseChildren({ ...deps, phase, suspension, steps, onFenced }),
  };
}

/** What a handler left unawaited ends with it, rather than hold a file or a timer for nobody. Most handlers wait for nothing of the kind. */
function createPlacedWaits(stopped: AbortSignal): { signal(): AbortSignal; end(): void } {
  let ended: AbortController | undefined;
  let either: AbortSignal | undefined;
  let isOver = false;
  const abort = () => ended?.abort(new Error('the handler has ended'));
  return {
    signal: () => {
      ended ??= new AbortController();
      if (isOver) abort();
      return (either ??= AbortSignal.any([stopped, ended.signal]));
    },
    end: () => {
      isOver = true;
      abort();
    },
  };
}
