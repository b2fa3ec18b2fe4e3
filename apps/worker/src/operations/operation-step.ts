// What the steps of all kinds of operations have in common.
import type { LoggedEvent, OperationChange, PoolClient, StoredOperation } from '@millrace/store';
import { allowance, pacedAfter } from './pacing.ts';

/** What is to be announced after the step's commit, and when the next one is due. */
export type StepResult = {
  events: LoggedEvent[];
  /** Flows whose handlers have to be told to stop. */
  cancelled: string[];
  /** Why a flow could not be changed at all; for the log, not for clients. */
  reason?: string | null;
  next: 'now' | 'ended' | { waitMs: number };
};

/** @param apart each flow by itself, because one of the step before could not be changed at all */
export type Step = (
  client: PoolClient,
  operation: StoredOperation,
  apart: boolean,
) => Promise<{ change: OperationChange; result: StepResult }>;

/** Flows that one transaction changes: their rows stay locked until its end. */
export const STEP_FLOWS_MAX = 25;

export function ended(change: OperationChange, announced: Partial<StepResult> = {}): { change: OperationChange; result: StepResult } {
  return { change: { end: 'completed', ...change }, result: { events: [], cancelled: [], ...announced, next: 'ended' } };
}

export function waiting(change: OperationChange, waitMs: number): { change: OperationChange; result: StepResult } {
  return { change, result: { events: [], cancelled: [], next: { waitMs } } };
}

/** How many may be changed now, and what that does to the pace. */
export function paceOf(operation: StoredOperation, max: number) {
  const pace = { ratePerSecond: operation.rate_per_second, pacedAtMs: operation.paced_at_ms, nowMs: operation.now_ms };
  return { ...allowance(pace, max), after: (count: number) => pacedAfter(pace, count) };
}

/** What of an outcome counts, in the words of an operation. */
export function countsOf(outcome: { changed: readonly string[]; skipped: number; failed: number }): OperationChange {
  const { changed, skipped, failed } = outcome;
  return {
    done: changed.length + skipped + failed,
    succeeded: changed.length,
    skipped,
    failed,
    ...(failed === 0 ? {} : { message: "some flows could not be changed; the worker's log says why" }),
  };
}
