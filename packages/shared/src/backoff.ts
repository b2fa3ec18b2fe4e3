// How long to wait before the next attempt. Pure: the random number is handed in.
import { durationMs, type Duration } from './duration.ts';
import { LIMITS } from './limits.ts';

export type BackoffPolicy = {
  type: 'exponential' | 'fixed';
  /** Before the second attempt. */
  delay: Duration;
  /** No delay is longer than this, nor than 24 days. */
  max?: Duration;
  /** Share of the delay that is random, 0..1: a delay d becomes something in [d - d*jitter, d]. */
  jitter?: number;
};

export type RetryPolicy = {
  /** Attempts in all, the first included. */
  attempts: number;
  backoff: BackoffPolicy;
};

/** 4 attempts; 60, 120, 240 seconds between them, at most 10 minutes, a fifth of each random so that failures do not return in step. */
export const DEFAULT_RETRY: RetryPolicy = { attempts: 4, backoff: { type: 'exponential', delay: '60s', max: '10m', jitter: 0.2 } };

/**
 * Delay before the attempt after `attemptsUsed` failed ones.
 * Exponential doubling from `delay`, capped at `max`; jitter is taken off the capped value, so the cap holds.
 * @param random a number in [0, 1)
 */
export function backoffDelayMs(policy: BackoffPolicy, attemptsUsed: number, random: number): number {
  const baseMs = durationMs(policy.delay);
  const maxMs = policy.max === undefined ? LIMITS.timerMsMax : durationMs(policy.max);
  // More doublings than 31 are beyond every cap, and far more would make infinity out of the factor and nonsense out of 0 times that.
  const grownMs = policy.type === 'fixed' ? baseMs : baseMs * 2 ** Math.min(31, Math.max(0, attemptsUsed - 1));
  const cappedMs = Math.min(grownMs, maxMs, LIMITS.timerMsMax);
  return Math.round(cappedMs * (1 - (policy.jitter ?? 0) * random));
}
