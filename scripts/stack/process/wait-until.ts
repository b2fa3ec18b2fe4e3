// Waits for a condition by asking it again and again, with a limit and a way out.
import { setTimeout as delay } from 'node:timers/promises';

const pollMs = 25;

/**
 * Resolves with true as soon as `check` does, with false after `withinMs`. Rejects with the signal's reason when it is aborted,
 * and with whatever `check` throws.
 */
export async function waitUntil(
  check: () => boolean | Promise<boolean>,
  { withinMs, signal }: { withinMs: number; signal?: AbortSignal },
): Promise<boolean> {
  const endsAt = performance.now() + withinMs;
  for (;;) {
    signal?.throwIfAborted();
    if (await check()) return true;
    if (performance.now() >= endsAt) return false;
    await delay(pollMs);
  }
}
