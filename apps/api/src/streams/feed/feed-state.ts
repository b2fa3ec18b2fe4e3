// What is known of one watched subject in this process. The files beside this one change it: replay.ts brings clients up to the head,
// live.ts moves the head, subject-feed.ts opens and closes it.
import type { EventFrame } from '../frames/sse-frame.ts';
import type { StreamClient } from '../client/stream-client.ts';
import type { EventPages } from './event-pages.ts';
import type { EventSequencer } from './event-sequencer.ts';
import type { FrameTail } from './frame-tail.ts';
import type { ProgressLane } from './progress-lane.ts';

/** What streams report about themselves. All optional, all must be cheap. */
export type StreamObserver = {
  onOpened?(): void;
  onClosed?(): void;
  onRefused?(): void;
  onCut?(reason: string): void;
  /** Events written to clients. */
  onDelivered?(count: number): void;
  /** A subject's missing events were fetched from PostgreSQL. */
  onCatchUp?(eventCount: number): void;
  onReset?(reason: string): void;
};

export type FeedContext = {
  pages: EventPages;
  observer: StreamObserver;
  limits: { sliceBytesMax: number; gapWaitMs: number };
  /** Called when a client's run has ended and it asked for no more. */
  onDone(client: StreamClient): void;
  /** PostgreSQL could not be read; the head check will try again. */
  onReadFailed(error: unknown): void;
};

export type FeedState = {
  readonly subjectId: string;
  readonly epoch: string;
  readonly context: FeedContext;
  readonly clients: Set<StreamClient>;
  readonly sequencer: EventSequencer<EventFrame>;
  readonly tail: FrameTail;
  readonly progress: ProgressLane;
  /** False until a first client has read to the end of the log: before that the head is unknown. */
  isWarm: boolean;
  /** The newest event that anything has told of; above the head while some are missing here. */
  heardSeq: number;
  isFilling: boolean;
  /** A read failed: the head check must look after this feed. */
  needsRetry: boolean;
  isClosed: boolean;
  gapTimer: NodeJS.Timeout | undefined;
};

/** True when the feed has given out everything it has heard of. */
export function isUpToDate(feed: FeedState): boolean {
  return feed.isWarm && feed.sequencer.headSeq >= feed.heardSeq;
}
