// Time as a dependency, so that what depends on it can be tested.

export type Clock = {
  /** Wall-clock milliseconds since the epoch: for what people read. Never for measuring. */
  nowMs(): number;
  /** Monotonic milliseconds: for measuring and for deadlines. */
  monotonicMs(): number;
};

export const systemClock: Clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() };
