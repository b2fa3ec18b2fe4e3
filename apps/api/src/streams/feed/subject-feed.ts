// Opens and closes the feed of a subject: its two subscriptions, and who watches it. What flows through it is the business of live.ts and replay.ts.
import { withTimeout, type Logger } from '@millrace/process';
import type { Keys, Subscriptions } from '@millrace/redis';
import type { StreamClient } from '../client/stream-client.ts';
import type { EventFrame } from '../frames/sse-frame.ts';
import { STREAM_LIMITS } from '../stream-limits.ts';
import { createEventSequencer } from './event-sequencer.ts';
import type { FeedContext, FeedState } from './feed-state.ts';
import { createFrameTail } from './frame-tail.ts';
import { closeFeed, hearEvents, hearProgress, noteHead, resumeClient, retryReads } from './live.ts';
import { createProgressLane } from './progress-lane.ts';
import { advance } from './replay.ts';

export type SubjectFeed = {
  readonly subjectId: string;
  readonly size: number;
  /** Begins to serve a client from its position. @param seqLast the newest event that PostgreSQL had when the client asked */
  join(client: StreamClient, seqLast: number): void;
  /** Answers true when it was the last one. */
  leave(client: StreamClient): boolean;
  /** The client's response has room again. */
  resume(client: StreamClient): void;
  /** What the head check found. */
  noteHead(seq: number): void;
  /** Tries again what could not be read. */
  retryReads(): void;
  close(): void;
};

type FeedOptions = {
  subject: { id: string; workspace: string };
  epoch: string;
  context: FeedContext;
  subscriptions: Pick<Subscriptions, 'add' | 'remove'>;
  keys: Pick<Keys, 'updates' | 'progressChannel'>;
  log: Logger;
};

/** Subscribes at once: what is committed from now on is heard, or found by the head check. */
export function openSubjectFeed(options: FeedOptions): SubjectFeed {
  const feed = createState(options);
  const unsubscribe = subscribe(options, feed);
  return {
    subjectId: feed.subjectId,
    get size() {
      return feed.clients.size;
    },
    join: (client, seqLast) => {
      feed.clients.add(client);
      noteHead(feed, seqLast);
      void unsubscribe.ready.then(() => {
        advance(feed, client);
      });
    },
    leave: (client) => feed.clients.delete(client) && feed.clients.size === 0,
    resume: (client) => {
      resumeClient(feed, client);
    },
    noteHead: (seq) => {
      noteHead(feed, seq);
    },
    retryReads: () => {
      retryReads(feed);
    },
    close: () => {
      closeFeed(feed);
      unsubscribe.now();
    },
  };
}

function createState({ subject, epoch, context }: FeedOptions): FeedState {
  return {
    subjectId: subject.id,
    epoch,
    context,
    clients: new Set(),
    sequencer: createEventSequencer<EventFrame>({ heldMax: STREAM_LIMITS.heldEventsMax }),
    tail: createFrameTail({ framesMax: STREAM_LIMITS.tailFramesMax, bytesMax: STREAM_LIMITS.tailBytesMax }),
    progress: createProgressLane({ phasesMax: STREAM_LIMITS.progressPhasesMax }),
    isWarm: false,
    heardSeq: 0,
    isFilling: false,
    needsRetry: false,
    isClosed: false,
    gapTimer: undefined,
  };
}

// Replay begins only when the subscription is in force, so that nothing falls between the two; a Redis that does not answer is not waited for.
function subscribe({ subject, subscriptions, keys, log }: FeedOptions, feed: FeedState): { ready: Promise<void>; now(): void } {
  const channels = [
    {
      name: keys.updates(subject.workspace, subject.id),
      listener: (message: string) => {
        hearEvents(feed, message);
      },
    },
    {
      name: keys.progressChannel(subject.workspace, subject.id),
      listener: (message: string) => {
        hearProgress(feed, message);
      },
    },
  ];
  const added = Promise.all(channels.map(({ name, listener }) => subscriptions.add(name, listener)));
  const ready = withTimeout(added, STREAM_LIMITS.subscribeMsMax).then(
    () => undefined,
    (error: unknown) => {
      log.debug({ err: error, subject: subject.id }, 'not subscribed yet, the head check covers for it');
    },
  );
  return {
    ready,
    now: () => {
      for (const { name, listener } of channels) subscriptions.remove(name, listener);
    },
  };
}
