// What the parts that run one attempt share: what they are given, and what they answer.
import type { Clock, Logger } from '@millrace/process';
import type { DeliveryOutcome } from '@millrace/queue';
import type { Dispatch, RetryPolicy } from '@millrace/shared';
import type { ClaimedPhase } from '@millrace/store';
import type { ContextDeps } from './context/create-context.ts';
import type { RunIsolated } from './isolated-run.ts';
import type { PhaseOutcome } from './outcome.ts';
import type { PhaseClaims } from './phase-claims.ts';
import type { PhaseCommits } from './phase-commits.ts';
import type { PhaseDefinitions } from './phase-definitions.ts';
import type { RunningPhase, RunningPhases } from './running-phases.ts';

export type PhaseRunnerDeps = ContextDeps & {
  claims: PhaseClaims;
  commits: PhaseCommits;
  definitions: PhaseDefinitions;
  running: RunningPhases;
  /** Runs isolated phases, and such as are suspected of killing processes; absent in the process of one. */
  runIsolated?: RunIsolated;
  clock: Clock;
  log: Logger;
  workerId: string;
  dispatch(dispatches: readonly Dispatch[]): void;
  /** In [0, 1), for jitter. */
  random(): number;
  onEnd(end: { phase: ClaimedPhase; outcome: PhaseOutcome['kind']; committed: boolean }): void;
};

export type Attempt = {
  phase: ClaimedPhase;
  /** Monotonic, before the claim was sent. */
  claimedAtMs: number;
  /** The phase whose delivery carries this one: its lock covers both. */
  deliveryId: string;
  /** Whether the delivery would go on with another phase after this one. */
  goesOn(): boolean;
};

/** What the queue is told, and the phase that the same delivery goes on with. */
export type AttemptEnd = {
  outcome: DeliveryOutcome;
  next: ClaimedPhase | null;
  /** Monotonic, before the statement that claimed `next` was sent. */ nextClaimedAtMs?: number;
};

/** An attempt whose handler has ended, or that needs none. */
export type EndingAttempt = { running: RunningPhase; retry: RetryPolicy; goesOn?(): boolean };
