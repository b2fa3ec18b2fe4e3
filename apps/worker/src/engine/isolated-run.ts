// What the engine asks of whoever runs an attempt in a process of its own. How that is done is known in src/isolated.
import type { DeliveryOutcome } from '@millrace/queue';
import type { RunDefinition } from '@millrace/sdk';
import type { PhaseOutcome } from './outcome.ts';
import type { RunningPhase } from './running-phases.ts';

export type IsolatedEnd =
  /** The process has written how the attempt ended, or found its writing refused. */
  | { kind: 'reported'; outcome: PhaseOutcome['kind']; committed: boolean; delivery: DeliveryOutcome }
  /**
   * The process is gone, or there was none: how the attempt ended is yet to be written. `crash`: how it died, if it did so by itself after the
   * handler had been called.
   */
  | { kind: 'gone'; outcome: PhaseOutcome; crash?: string };

/** Rejects only for a definition whose time limits make no sense. */
export type RunIsolated = (running: RunningPhase, definition: RunDefinition) => Promise<IsolatedEnd>;

export function isIsolated({ isolate }: Pick<RunDefinition, 'isolate'>): boolean {
  return isolate !== undefined && isolate !== false;
}
