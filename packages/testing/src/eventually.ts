// Waits for something to become true without guessing how long that takes.
import { setTimeout as delay } from 'node:timers/promises';

const FIRST_WAIT_MS = 5;
const WAIT_MS_MAX = 100;

/**
 * Calls `assertion` until it does not throw and answers its result.
 * @throws the assertion's last error when it still throws after `withinMs` (default 20 s: what passes never waits for it).
 */
export async function eventually<T>(assertion: () => Promise<T> | T, { withinMs = 20_000 }: { withinMs?: number } = {}): Promise<T> {
  const endAt = performance.now() + withinMs;
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(WAIT_MS_MAX, waitMs * 2)) {
    try {
      return await assertion();
    } catch (error) {
      if (performance.now() >= endAt) throw error;
      await delay(waitMs);
    }
  }
}
