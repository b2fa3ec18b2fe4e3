// Sends a statement again while PostgreSQL is away, for a limited time. Only for statements that change nothing when they are sent twice.
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '@millrace/process';
import { asAppError, isTransient } from '@millrace/store';

const OUTAGE_RETRY_MS = 500;

/** @throws AppError dependency-unavailable when it was still away after `withinMs`; every other failure at once. */
export async function throughOutage<T>(send: () => Promise<T>, { clock, withinMs }: { clock: Clock; withinMs: number }): Promise<T> {
  const giveUpAtMs = clock.monotonicMs() + withinMs;
  for (;;) {
    try {
      return await send();
    } catch (error) {
      if (!isTransient(error) || clock.monotonicMs() > giveUpAtMs) throw asAppError(error);
      await delay(OUTAGE_RETRY_MS * (0.5 + Math.random()));
    }
  }
}
