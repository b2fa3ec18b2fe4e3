// How long to wait before a child that died by itself is started again. Pure.

/** A child that ran this long was healthy: the next death starts again at the shortest wait. */
export const healthyAfterMs = 30_000;
const firstMs = 250;
const capMs = 10_000;

/** Wait before restart number `restart` (from 1): 250 ms doubled each time, at most 10 s, less up to a fifth of jitter so that siblings spread out. */
export function restartDelayMs(restart: number, random: () => number = Math.random): number {
  // The exponent is bounded first: 2 ** 1024 is Infinity and a very long crash loop gets there.
  const full = Math.min(capMs, firstMs * 2 ** Math.min(Math.max(restart, 1) - 1, 16));
  return Math.round(full * (1 - 0.2 * random()));
}
