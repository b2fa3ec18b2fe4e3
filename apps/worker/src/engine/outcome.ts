// How one attempt at a phase ended, as a value. Everything a handler throws is turned into one of these in one place.
import { types } from 'node:util';
import { AppError, type RetryPolicy, backoffDelayMs } from '@millrace/shared';
import { isPermanentError } from '@millrace/sdk';
import type { Awaits, PhaseError } from '@millrace/store';

/** Why a handler was told to stop. */
export type StopReason = 'cancelled' | 'lease-lost' | 'shutdown' | 'soft-timeout' | 'hard-timeout';

export type PhaseOutcome =
  | { kind: 'completed'; output: unknown }
  /** `retryAfterMs`: when the next attempt may begin, instead of what the phase's policy says. */
  | { kind: 'failed'; error: PhaseError; permanent: boolean; retryAfterMs?: number }
  /** Waits for a callback and holds no worker; it is written already, or was refused. */
  | { kind: 'waiting'; committed: boolean }
  /** Goes back to the queue at no cost. */
  | { kind: 'interrupted'; reason: string; delayMs: number }
  /** Waits without a worker, and runs from its start when what it waits for has come. */
  | { kind: 'suspended'; awaits: Awaits }
  /** Someone else decides about this phase now: nothing is to be written. */
  | { kind: 'abandoned'; reason: 'cancelled' | 'lease-lost' };

/** The reason of the signal that handlers get. */
export class PhaseStopped extends Error {
  readonly reason: StopReason;
  constructor(reason: StopReason) {
    super(`the phase was told to stop: ${reason}`);
    this.name = 'PhaseStopped';
    this.reason = reason;
  }
}

/** Thrown by our own parts that stand in for a handler and know how the attempt ended. */
export class AttemptEnded extends Error {
  readonly outcome: PhaseOutcome;
  constructor(outcome: PhaseOutcome) {
    super(`the attempt ended: ${outcome.kind}`);
    this.name = 'AttemptEnded';
    this.outcome = outcome;
  }
}

/** Thrown by ctx.lock when the lock could not be had in all its tries. */
export class LockUnavailable extends Error {
  constructor(resource: string) {
    super(`the lock "${resource}" is held by someone else`);
    this.name = 'LockUnavailable';
  }
}

/** Thrown by ctx.rateLimit when the units are not there for longer than is waited in place. */
export class RateLimited extends Error {
  readonly delayMs: number;
  constructor(limit: string, delayMs: number) {
    super(`the rate limit "${limit}" is used up for ${delayMs} ms`);
    this.name = 'RateLimited';
    this.delayMs = delayMs;
  }
}

const MESSAGE_CHARS_MAX = 2_000;
const STACK_CHARS_MAX = 8_000;
const LOCK_RETRY_MS = 1_000;
const DEPENDENCY_RETRY_MS = 2_000;

/** What a thrown value means for the attempt, given why the handler was told to stop, if it was. */
export function outcomeOfThrown(thrown: unknown, stopped: StopReason | undefined): PhaseOutcome {
  const ended = quietly(() => (thrown instanceof AttemptEnded ? thrown.outcome : undefined));
  // Written already, so whatever came in between came too late.
  if (ended?.kind === 'waiting') return ended;
  if (stopped === 'cancelled' || stopped === 'lease-lost') return { kind: 'abandoned', reason: stopped };
  if (stopped === 'shutdown') return { kind: 'interrupted', reason: 'shutdown', delayMs: 0 };
  if (stopped !== undefined) return { kind: 'failed', error: timeoutError(stopped), permanent: false };
  if (ended !== undefined) return ended;
  if (!isError(thrown))
    return {
      kind: 'failed',
      error: { code: 'error', message: clean(`something that is no Error was thrown: ${preview(thrown)}`, MESSAGE_CHARS_MAX) },
      permanent: false,
    };
  if (thrown instanceof LockUnavailable) return { kind: 'interrupted', reason: 'lock-held', delayMs: LOCK_RETRY_MS };
  if (thrown instanceof RateLimited) return { kind: 'interrupted', reason: 'rate-limited', delayMs: thrown.delayMs };
  // Only our own parts throw this code; a handler's failed call to some other service is the handler's failure.
  if (thrown instanceof AppError && thrown.code === 'dependency-unavailable')
    return { kind: 'interrupted', reason: 'dependency-unavailable', delayMs: DEPENDENCY_RETRY_MS };
  return { kind: 'failed', error: describeError(thrown), permanent: quietly(() => isPermanentError(thrown)) === true };
}

export function timeoutError(reason: 'soft-timeout' | 'hard-timeout'): PhaseError {
  return {
    code: 'timeout',
    message:
      reason === 'soft-timeout' ? 'the attempt was stopped at its soft time limit' : 'the attempt did not end by its hard time limit',
  };
}

/** Milliseconds until the next attempt, or null when there is none. */
export function retryDelayMs(
  failure: { attempt: number; attemptMax: number; permanent: boolean },
  policy: RetryPolicy,
  random: number,
): number | null {
  if (failure.permanent || failure.attempt >= failure.attemptMax) return null;
  return backoffDelayMs(policy.backoff, failure.attempt, random);
}

// Anything can be thrown: a string, null, an error of another realm, one whose message throws in turn. NUL would be refused by PostgreSQL.
function isError(thrown: unknown): thrown is Error {
  return quietly(() => types.isNativeError(thrown) || thrown instanceof Error) === true;
}

function describeError(error: Error): PhaseError {
  const text = (read: () => unknown): string | undefined => {
    const value = quietly(read);
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const code = text(() => (error as { code?: unknown }).code) ?? text(() => error.name) ?? 'Error';
  const message = text(() => String(error.message)) ?? '';
  const stack = text(() => error.stack);
  return {
    code: clean(code, 100),
    message: clean(message, MESSAGE_CHARS_MAX),
    ...(stack === undefined ? {} : { stack: clean(stack, STACK_CHARS_MAX) }),
  };
}

function preview(value: unknown): string {
  return (
    quietly(() =>
      typeof value === 'object' ? (JSON.stringify(value) ?? 'undefined') : String(value as string | number | symbol | undefined),
    ) ?? typeof value
  );
}

// What lies about itself has nothing to tell, and that it cannot be read is no news either.
function quietly<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function clean(text: string, charsMax: number): string {
  return text.replaceAll('\0', '\\0').toWellFormed().slice(0, charsMax).toWellFormed();
}
