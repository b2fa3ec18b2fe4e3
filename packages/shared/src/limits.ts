// Limits that several parts must agree on. Each has its unit in its name.

export const LIMITS = {
  /** JSON bodies. */
  bodyBytesMax: 1024 * 1024,
  batchBytesMax: 16 * 1024 * 1024,
  batchLinesMax: 10_000,
  jsonDepthMax: 32,
  jsonKeysMax: 1_000,
  stringBytesMax: 64 * 1024,
  urlBytesMax: 8 * 1024,
  /** Requests of an API key that has no limit of its own, and callbacks from one address. */
  requestsPerMinute: 60_000,
  idempotencyKeyCharsMax: 255,
  pageItemsMax: 200,
  pageItemsDefault: 50,
  /** Phases of one flow. */
  phasesMax: 20_000,
  /** The result of a phase or of a step, as JSON. */
  outputBytesMax: 1024 * 1024,
  /** Kept results of steps of one phase and run, and their bytes as JSON together. */
  stepsMax: 1_000,
  stepsBytesMax: 16 * 1024 * 1024,
  tagsMax: 32,
  /** Concurrency keys and dedupe keys. */
  flowKeyCharsMax: 200,
  concurrencyMax: 10_000,
  /** 24 days: what a timer and a 32-bit number of milliseconds can hold (they end at 24.8). */
  timerMsMax: 24 * 86_400_000,
  progressMessageCharsMax: 1_000,
  logMessageCharsMax: 4_000,
} as const;
