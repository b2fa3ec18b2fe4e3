// What a handler gets. It may take the context apart, so every function works without it; each is made when it is asked for.
import type { ImportedRows, ImportOutcome, PhaseContext, PhaseLog } from '@millrace/sdk';
import type { RunningPhase } from '../running-phases.ts';
import { AttemptParts, type ContextDeps, type SuspensionListener } from './attempt-parts.ts';
import { withNamedLock } from './phase-lock.ts';
import { takeRateLimit } from './phase-rate-limit.ts';
import type { PhaseTransaction } from './phase-transaction.ts';

export type { ContextDeps } from './attempt-parts.ts';

/** What the engine does with a context. */
export type AttemptContext = {
  /** The attempt's transaction while it is open. */
  openTransaction(): PhaseTransaction | undefined;
  /** Rolls back what is open. No transaction can be opened after it. */
  rollback(): void;
  /** Writes what is still buffered: log lines, usage and the last progress. Before the phase's end is committed. Undefined: there is nothing. */
  flush(): Promise<unknown> | undefined;
  /** Calls `listener` once the handler waits for something that needs no worker; at once if it does already. */
  whenSuspended(listener: SuspensionListener): void;
  /** Gives back what a handler holds that was left where it waits. */
  leave(): void;
  /** Ends what a handler that was left behind might still send in the name of the phase. */
  abandon(): void;
};

export function createContext(
  deps: ContextDeps,
  running: RunningPhase,
  given: { input: unknown; outputs: Record<string, unknown> },
): { ctx: PhaseContext; attempt: AttemptContext } {
  const parts = new AttemptParts(deps, running);
  return { ctx: new HandlerContext(parts, given), attempt: parts };
}

// The getters are the class's and cost an attempt nothing.
class HandlerContext implements PhaseContext {
  readonly flowId: string;
  readonly phase: string;
  readonly workspace: string;
  readonly input: unknown;
  readonly outputs: Record<string, unknown>;
  readonly attempt: number;
  readonly idempotencyKey: string;
  readonly #parts: AttemptParts;

  constructor(parts: AttemptParts, given: { input: unknown; outputs: Record<string, unknown> }) {
    const { phase } = parts.running;
    this.flowId = phase.flowId;
    this.phase = phase.name;
    this.workspace = phase.workspace;
    this.input = given.input;
    this.outputs = given.outputs;
    this.attempt = phase.attempt;
    this.idempotencyKey = `${phase.id}-${phase.run}`;
    this.#parts = parts;
  }

  get signal(): AbortSignal {
    return this.#parts.running.signal;
  }

  get log(): PhaseLog {
    return this.#parts.logging.log;
  }

  get progress(): PhaseContext['progress'] {
    return this.#parts.progress.report;
  }

  get step(): PhaseContext['step'] {
    return this.#parts.steps.run;
  }

  get sleep(): PhaseContext['sleep'] {
    return this.#parts.waits.sleep;
  }

  get waitFor(): PhaseContext['waitFor'] {
    return this.#parts.waits.waitFor;
  }

  get start(): PhaseContext['start'] {
    return this.#parts.children.start;
  }

  get usage(): PhaseContext['usage'] {
    return this.#parts.usage.record;
  }

  get transaction(): PhaseContext['transaction'] {
    return this.#parts.transaction.run;
  }

  get lock(): PhaseContext['lock'] {
    const parts = this.#parts;
    return (resource, fn, options = {}) => {
      const { phase, signal } = parts.running;
      const holder = { workspace: phase.workspace, token: `${phase.id}/${phase.fence}`, signal, left: parts.left };
      return withNamedLock(parts.deps, holder, { resource, fn, options });
    };
  }

  get rateLimit(): PhaseContext['rateLimit'] {
    const parts = this.#parts;
    const { rates } = parts.deps.services;
    return (name, units = 1, options = {}) =>
      parts.suspension.track(() =>
        takeRateLimit({ rates, phase: parts.running.phase, signal: parts.stoppedOrEnded }, { name, units, options }),
      );
  }

  get import(): PhaseContext['import'] {
    const parts = this.#parts;
    return (dataset, source, options = {}): Promise<ImportOutcome> =>
      parts.suspension.track(() =>
        parts.deps.imports.run({ phase: parts.running.phase, signal: parts.stoppedOrEnded, dataset, source, options }),
      );
  }

  get imported(): PhaseContext['imported'] {
    const { deps, running } = this.#parts;
    return (importId): Promise<ImportedRows> => deps.openImported({ importId, workspace: running.phase.workspace });
  }
}
