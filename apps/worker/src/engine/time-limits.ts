// How long an attempt may take, and how long it may go on after it was told to stop. The same in this process and in one of its own.
import { durationMs } from '@millrace/shared';
import type { RunDefinition } from '@millrace/sdk';

const DEFAULT_TIMEOUT = { soft: '25m', hard: '30m' } as const;
/** Time a handler has to stop after its signal aborted, before it is left behind or killed. At the soft limit it has until the hard one. */
export const STOP_GRACE_MS = 5_000;

export type TimeLimits = { softMs: number; hardMs: number };

const DEFAULT_LIMITS: TimeLimits = limitsOf(DEFAULT_TIMEOUT);

/** The limits of a phase; the soft one is never later than the hard one. */
export function timeLimits({ timeout }: Pick<RunDefinition, 'timeout'>): TimeLimits {
  return timeout === undefined ? DEFAULT_LIMITS : limitsOf(timeout);
}

function limitsOf(timeout: NonNullable<RunDefinition['timeout']>): TimeLimits {
  const hardMs = durationMs(timeout.hard ?? DEFAULT_TIMEOUT.hard);
  return { softMs: Math.min(durationMs(timeout.soft ?? DEFAULT_TIMEOUT.soft), hardMs), hardMs };
}
