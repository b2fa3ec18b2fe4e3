// Puts together what a handler gets, and what the engine does with it when the handler is done.
import type { Logger } from '@millrace/process';
import type { Keys, Locks, UpdatePublisher } from '@millrace/redis';
import type { FlowPlanner, ImportedRows, PhaseContext } from '@millrace/sdk';
import type { Dispatch } from '@millrace/shared';
import type { Awaits, Database } from '@millrace/store';
import type { EventPublisher } from '../event-publisher.ts';
import type { RunningPhase } from '../running-phases.ts';
import { withNamedLock } from './phase-lock.ts';
import { createPhaseChildren } from './phase-children.ts';
import { createPhaseLog } from './phase-log.ts';
import { createPhaseProgress } from './phase-progress.ts';
import { createPhaseSteps } from './phase-steps.ts';
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
  planner: FlowPlanner;
  dispatch(dispatches: readonly Dispatch[]): void;
  openImported(target: { importId: string; workspace: string }): Promise<ImportedRows>;
};

export type AttemptContext = {
  ctx: PhaseContext;
  transaction: PhaseTransaction;
  /** Writes what is still buffered: log lines and the last progress. Before the phase's end is committed. */
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
  const onFenced = () => {
    running.stop('lease-lost');
  };
  const suspension = createSuspension();
  const steps = createPhaseSteps({ database: deps.database, phase, onFenced });
  const waits = createPhaseWaits({
    database: deps.database,
    phase,
    suspension,
    steps: { run: (name, fn) => suspension.track(() => steps.run(name, fn)) },
  });
  const children = createPhaseChildren({ ...deps, phase, suspension, onFenced });
  const left = new AbortController();
  const holder = { workspace: phase.workspace, token: `${phase.id}/${phase.fence}`, signal, left: left.signal };
  return {
    transaction,
    abandon: progress.abandon,
    suspended: suspension.suspended,
    leave: () => {
      left.abort();
    },
    flush: async () => {
      await Promise.all([logging.flush(), progress.finish()]);
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
      step: (name, fn) => suspension.track(() => steps.run(name, fn)),
      sleep: waits.sleep,
      waitFor: waits.waitFor,
      start: children.start,
      lock: (resource, fn, options = {}) => withNamedLock(deps, holder, { resource, fn, options }),
      transaction: transaction.run,
      imported: (importId) => deps.openImported({ importId, workspace: phase.workspace }),
    },
  };
}
