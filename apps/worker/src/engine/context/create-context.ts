// Puts together what a handler gets, and what the engine does with it when the handler is done.
import type { Logger } from '@millrace/process';
import type { Keys, Locks, UpdatePublisher } from '@millrace/redis';
import type { ImportedRows, PhaseContext } from '@millrace/sdk';
import type { Database } from '@millrace/store';
import type { EventPublisher } from '../event-publisher.ts';
import { PhaseStopped } from '../outcome.ts';
import type { RunningPhase } from '../running-phases.ts';
import { withNamedLock } from './phase-lock.ts';
import type { ContextServices } from './context-services.ts';
import type { PhaseImports } from './phase-imports.ts';
import { createPhaseLog } from './phase-log.ts';
import { createPhaseProgress } from './phase-progress.ts';
import { takeRateLimit } from './phase-rate-limit.ts';
import { createPhaseSteps } from './phase-steps.ts';
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
  openImported(target: { importId: string; workspace: string }): Promise<ImportedRows>;
};

export type AttemptContext = {
  ctx: PhaseContext;
  transaction: PhaseTransaction;
  /** Writes what is still buffered: log lines, usage and the last progress. Before the phase's end is committed. */
  flush(): Promise<void>;
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
  const steps = createPhaseSteps({
    database: deps.database,
    phase,
    steps: deps.services.steps,
    requireGoingOn: () => {
      const reason = running.stopReason();
      if (reason !== undefined && reason !== 'soft-timeout') throw new PhaseStopped(reason);
    },
    onFenced: () => {
      running.stop('lease-lost');
    },
  });
  const usage = deps.services.usage.forAttempt(phase);
  const waits = createWaits(signal);
  const holder = { workspace: phase.workspace, token: `${phase.id}/${phase.fence}`, signal };
  return {
    transaction,
    abandon: () => {
      waits.end();
      progress.abandon();
      logging.abandon();
    },
    flush: async () => {
      waits.end();
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
      lock: (resource, fn, options = {}) => withNamedLock(deps, holder, { resource, fn, options }),
      rateLimit: (name, units = 1, options = {}) =>
        takeRateLimit({ rates: deps.services.rates, phase, signal: waits.signal() }, { name, units, options }),
      usage: usage.record,
      transaction: transaction.run,
      import: (dataset, source, options = {}) => deps.imports.run({ phase, signal: waits.signal(), dataset, source, options }),
      imported: (importId) => deps.openImported({ importId, workspace: phase.workspace }),
    },
  };
}

/** What a handler left unawaited ends with it, rather than hold a file or a timer for nobody. Most handlers wait for nothing of the kind. */
function createWaits(stopped: AbortSignal): { signal(): AbortSignal; end(): void } {
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
