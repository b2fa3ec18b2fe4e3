// How many flows an operation may change now, by its rate: a bucket that fills steadily and holds one second's worth.

export type Pace = { ratePerSecond: number; pacedAtMs: number; nowMs: number };

const BURST_MS = 1_000;

/** Whole flows that may be changed now, at most `max`; 0 with the time until there is one. */
export function allowance(pace: Pace, max: number): { count: number; waitMs: number } {
  const perFlowMs = 1_000 / pace.ratePerSecond;
  const sinceMs = pace.nowMs - startOf(pace);
  const count = Math.min(max, Math.floor(sinceMs / perFlowMs + 1e-6));
  return { count, waitMs: count > 0 ? 0 : Math.max(1, Math.ceil(perFlowMs - sinceMs)) };
}

/** Up to when the rate is used after `count` flows. */
export function pacedAfter(pace: Pace, count: number): number {
  return startOf(pace) + (count * 1_000) / pace.ratePerSecond;
}

// Time in which nothing was changed is not saved up for ever.
function startOf({ ratePerSecond, pacedAtMs, nowMs }: Pace): number {
  return Math.max(pacedAtMs, nowMs - Math.max(BURST_MS, 1_000 / ratePerSecond));
}
