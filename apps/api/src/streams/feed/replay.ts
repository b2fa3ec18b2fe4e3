// Brings one client from its position to the head of the log: from the frames in memory where they reach, else page by page from
// PostgreSQL. It pauses while the client is full and goes on at 'drain', so a slow client costs a number, not a queue.
import { canWrite, writeTo, type StreamClient } from '../client/stream-client.ts';
import { resetFrame, slices, type EventFrame } from '../frames/sse-frame.ts';
import type { EventPage } from './event-pages.ts';
import { isUpToDate, type FeedState } from './feed-state.ts';

/** Takes a client as far as it can go now. Safe to call at any time. */
export function advance(feed: FeedState, client: StreamClient): void {
  if (!canWrite(client)) return;
  const frames = feed.isWarm ? feed.tail.after(client.position) : undefined;
  if (frames === undefined) {
    void readOn(feed, client);
    return;
  }
  sendFrames(feed, client, frames);
  if (canWrite(client)) settle(feed, client);
}

/** Writes frames that follow the client's position, until it is full. */
function sendFrames(feed: FeedState, client: StreamClient, frames: readonly EventFrame[]): void {
  for (const slice of slices(frames, feed.context.limits.sliceBytesMax)) {
    if (!canWrite(client)) return;
    writeTo(client, slice.bytes);
    markSent(client, slice.frames);
    feed.context.observer.onDelivered?.(slice.frames.length);
  }
}

export function markSent(client: StreamClient, frames: readonly EventFrame[]): void {
  const last = frames.at(-1);
  if (last === undefined) return;
  client.position = last.seq;
  // Only an end that nothing follows is the end of the current run.
  if (last.isEnd) client.endSeq = last.seq;
}

/** Gives a client at the head what comes after the events: the end it asked for, or the progress it has not seen. */
export function settle(feed: FeedState, client: StreamClient): void {
  if (!isUpToDate(feed) || client.position < feed.sequencer.headSeq) return;
  if (client.untilEnd && client.position > 0 && client.endSeq === client.position) {
    feed.context.onDone(client);
    return;
  }
  const { version } = feed.progress;
  if (client.progressVersion === version) return;
  const missed = feed.progress.since(client.progressVersion);
  client.progressVersion = version;
  if (missed.length > 0) writeTo(client, Buffer.concat(missed));
}

async function readOn(feed: FeedState, client: StreamClient): Promise<void> {
  client.isReading = true;
  client.isStuck = false;
  const knownSeq = feed.heardSeq;
  try {
    const page = await feed.context.pages.read(feed.subjectId, { afterSeq: client.position, knownSeq });
    const hole = holeBefore(page, client.position);
    client.isReading = false;
    if (feed.isClosed || client.isEnding) return;
    if (hole !== undefined) startOver(feed, client, hole);
    if (!page.isFull) warm(feed, { page, knownSeq, emptyAt: client.position });
    sendFrames(feed, client, page.frames);
    if (page.frames.length === 0 && feed.tail.after(client.position) === undefined)
      throw new Error('the log does not reach the head of its feed');
  } catch (error) {
    client.isReading = false;
    client.isStuck = true;
    feed.needsRetry = true;
    feed.context.onReadFailed(error);
    return;
  }
  advance(feed, client);
}

// A short page is the end of the log, unless more was heard of while it was read. Then the next page will have it.
function warm(feed: FeedState, { page, knownSeq, emptyAt }: { page: EventPage; knownSeq: number; emptyAt: number }): void {
  const lastSeq = page.frames.at(-1)?.seq ?? emptyAt;
  if (feed.isWarm) {
    // A client that got further than the feed tells it so.
    feed.heardSeq = Math.max(feed.heardSeq, lastSeq);
    return;
  }
  if (feed.heardSeq > lastSeq && feed.heardSeq !== knownSeq) return;
  feed.isWarm = true;
  feed.heardSeq = lastSeq;
  feed.sequencer.restart(lastSeq);
  feed.tail.restart(lastSeq, page.frames);
}

/** The number before the first event of a page that does not begin right after `position`. */
function holeBefore(page: EventPage, position: number): number | undefined {
  const firstSeq = page.frames[0]?.seq;
  return firstSeq === undefined || firstSeq === position + 1 ? undefined : firstSeq - 1;
}

// Events were removed from the log. Never a silent hole: the client is told, and goes on with what there is.
function startOver(feed: FeedState, client: StreamClient, afterSeq: number): void {
  feed.context.observer.onReset?.('gap');
  writeTo(client, resetFrame('gap', { epoch: feed.epoch, afterSeq }));
  client.position = afterSeq;
}
