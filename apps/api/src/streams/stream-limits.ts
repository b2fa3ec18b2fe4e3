// Every limit and period of streams in one place.

export const STREAM_LIMITS = {
  /** Open streams of one process, all keys together. */
  streamsMax: 20_000,
  /** Open streams of one key in one process, unless the hub is told otherwise. */
  streamsPerKeyMax: 1_000,
  /** Bytes that may wait in this process for one client. */
  waitingBytesMax: 1024 * 1024,
  /** How long any byte may wait in this process before its client is cut. */
  waitingMsMax: 5_000,
  pingEveryMs: 15_000,
  /** Streams end by themselves after this long, give or take a tenth, so that a drain looks like any other hour. */
  rotateAfterMs: 600_000,
  /** How often the one timer looks at all clients. */
  sweepEveryMs: 500,
  /** Bytes per write while replaying. */
  sliceBytesMax: 64 * 1024,
  /** Events per page read from PostgreSQL, and how many pages may be read at once, so that a rush of clients leaves connections for the rest of the API. */
  pageEventsMax: 256,
  pageReadsMax: 4,
  /** What a watched subject keeps in memory. */
  tailFramesMax: 512,
  tailBytesMax: 256 * 1024,
  heldEventsMax: 512,
  progressPhasesMax: 1_000,
  /** Events of different commits may overtake each other on their way: how long a gap may close by itself before PostgreSQL is asked. */
  gapWaitMs: 25,
  /** How long a stream waits for its subscription before it goes on without; the head check covers for it. */
  subscribeMsMax: 1_000,
  /** How often heads are compared while the doorbell works, while it does not, and how many per statement. */
  headCheckMs: 2_000,
  headCheckAwayMs: 500,
  headsPerRead: 500,
  /** How often open streams' keys are looked at again, and how many at once. */
  authorizeEveryMs: 10_000,
  authorizationsAtOnce: 8,
} as const;

/** `retry:` at the beginning of a stream and in its farewell. */
export const RETRY_MS = { minMs: 2_000, maxMs: 5_000 } as const;
/** `retry:` of a refused stream. */
export const REFUSED_RETRY_MS = { minMs: 5_000, maxMs: 10_000 } as const;
