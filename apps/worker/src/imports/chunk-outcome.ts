// What an error while loading a chunk means: whose fault it is, what it costs, and when to try again. Pure.
import { backoffDelayMs, type BackoffPolicy } from '@millrace/shared';
import { isTransient } from '@millrace/store';

/** Why the work on a chunk was told to stop. */
export type StopReason = 'lease-lost' | 'shutdown';

export type ChunkDecision =
  /** Someone else decides about this chunk now: nothing is to be written. */
  | { kind: 'abandon' }
  /** Goes back at no cost. */
  | { kind: 'interrupt'; delayMs: number }
  /** Goes back with an attempt used up. */
  | { kind: 'retry'; delayMs: number; message: string }
  /** The import fails. */
  | { kind: 'fail'; message: string };

/** What is known of the chunk's past. */
export type ChunkPast = { ordinal: number; attempts: number; interruptions: number };

export const ATTEMPTS_MAX = 4;
/** Time-outs, deadlocks and lost connections in a row before they count as failures: with the delays below, about four minutes of them. */
const INTERRUPTIONS_MAX = 50;
const INTERRUPTION_BACKOFF: BackoffPolicy = { type: 'exponential', delay: 200, max: '5s', jitter: 0.5 };
const FAILURE_BACKOFF: BackoffPolicy = { type: 'exponential', delay: '1s', max: '60s', jitter: 0.2 };
const MESSAGE_CHARS_MAX = 500;

/** @param random in [0, 1) */
export function decideAfter(
  error: unknown,
  past: ChunkPast,
  { stopped, random }: { stopped: StopReason | undefined; random: number },
): ChunkDecision {
  if (stopped === 'lease-lost') return { kind: 'abandon' };
  if (stopped === 'shutdown') return { kind: 'interrupt', delayMs: 0 };
  if (isTransient(error) && past.interruptions < INTERRUPTIONS_MAX)
    return { kind: 'interrupt', delayMs: backoffDelayMs(INTERRUPTION_BACKOFF, past.interruptions + 1, random) };
  const message = describe(error, past.ordinal);
  if (past.attempts + 1 >= ATTEMPTS_MAX) return { kind: 'fail', message };
  return { kind: 'retry', delayMs: backoffDelayMs(FAILURE_BACKOFF, past.attempts + 1, random), message };
}

// NUL and lone surrogates would be refused where this is kept.
function describe(error: unknown, ordinal: number): string {
  const reason = error instanceof Error ? error.message : String(error);
  return `Chunk ${ordinal + 1} could not be loaded: ${reason.replaceAll('\0', '').toWellFormed().slice(0, MESSAGE_CHARS_MAX).toWellFormed()}`;
}
