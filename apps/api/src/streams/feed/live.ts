// Moves the head of a feed: takes what the doorbell brings, fetches what it lost once for all clients, and hands each event to those who wait for it.
import { canWrite, writeTo, type StreamClient } from '../client/stream-client.ts';
import { parseEvents, parseProgress } from '../frames/event-messages.ts';
import { eventFrame, progressFrame, slices, type EventFrame } from '../frames/sse-frame.ts';
import { isUpToDate, type FeedState } from './feed-state.ts';
import { advance, markSent, settle } from './replay.ts';

/** Events after which the progress of their phase means nothing any more. */
const PHASE_ENDS = new Set(['phase.completed', 'phase.failed', 'phase.skipped', 'phase.quarantined', 'phase.retrying']);

/** Takes a message of the events channel. One that cannot be read is still a ring: PostgreSQL is asked. */
export function hearEvents(feed: FeedState, message: string): void {
  if (feed.isClosed) return;
  const events = parseEvents(message);
  const lastSeq = events?.at(-1)?.seq ?? 0;
  feed.heardSeq = Math.max(feed.heardSeq, lastSeq);
  if (!feed.isWarm) return;
  if (events === undefined) {
    void fill(feed);
    return;
  }
  for (const event of events) {
    if ('phase' in event && event.phase !== undefined && PHASE_ENDS.has(event.type)) feed.progress.drop(event.phase);
  }
  deliver(
    feed,
    feed.sequencer.accept(events.filter((event) => event.seq > feed.sequencer.headSeq).map((event) => eventFrame(feed.epoch, event))),
  );
  fillIfBehind(feed);
}

/** Takes a message of the progress channel. Clients that cannot take it now get the latest one when they can. */
export function hearProgress(feed: FeedState, message: string): void {
  const progress = feed.isClosed ? undefined : parseProgress(message);
  if (progress === undefined) return;
  const frame = progressFrame(progress.report);
  const before = feed.progress.version;
  feed.progress.set(progress.phase, frame);
  if (!isUpToDate(feed)) return;
  for (const client of feed.clients) {
    if (!canWrite(client) || client.position < feed.sequencer.headSeq) continue;
    if (client.progressVersion === before) {
      client.progressVersion = feed.progress.version;
      writeTo(client, frame);
    } else settle(feed, client);
  }
}

/** Notes that the log goes up to `seq` at least. */
export function noteHead(feed: FeedState, seq: number): void {
  feed.heardSeq = Math.max(feed.heardSeq, seq);
  fillIfBehind(feed);
}

/** Tries again what failed, and fetches what the doorbell has not brought. */
export function retryReads(feed: FeedState): void {
  if (!feed.needsRetry) return;
  feed.needsRetry = false;
  if (feed.isWarm && !isUpToDate(feed)) void fill(feed);
  for (const client of feed.clients) if (client.isStuck) advance(feed, client);
}

// Messages of different commits overtake each other by a moment, so a gap gets a moment to close by itself.
function fillIfBehind(feed: FeedState): void {
  if (feed.isClosed || !feed.isWarm || isUpToDate(feed) || feed.gapTimer !== undefined) return;
  feed.gapTimer = setTimeout(() => {
    feed.gapTimer = undefined;
    if (!isUpToDate(feed)) void fill(feed);
  }, feed.context.limits.gapWaitMs);
}

/** Reads from the head of the feed to the end of the log. */
async function fill(feed: FeedState): Promise<void> {
  if (feed.isFilling) return;
  feed.isFilling = true;
  let fetched = 0;
  try {
    for (let more = true; more && !feed.isClosed;) {
      const knownSeq = feed.heardSeq;
      const page = await feed.context.pages.read(feed.subjectId, { afterSeq: feed.sequencer.headSeq, knownSeq });
      fetched += page.frames.length;
      takePage(feed, page.frames);
      more = page.isFull;
      // The log ends here and nothing was heard of meanwhile: what was announced beyond it does not exist.
      if (!more && feed.heardSeq === knownSeq) feed.heardSeq = feed.sequencer.headSeq;
    }
    feed.context.observer.onCatchUp?.(fetched);
  } catch (error) {
    feed.needsRetry = true;
    feed.context.onReadFailed(error);
    return;
  } finally {
    feed.isFilling = false;
  }
  for (const client of feed.clients) advance(feed, client);
  fillIfBehind(feed);
}

function takePage(feed: FeedState, frames: readonly EventFrame[]): void {
  const [first] = frames;
  const last = frames.at(-1);
  if (first === undefined || last === undefined || feed.isClosed) return;
  feed.heardSeq = Math.max(feed.heardSeq, last.seq);
  if (first.seq > feed.sequencer.headSeq + 1) {
    // The log has a hole: the tail begins anew behind it, and each client that replays across it is told.
    feed.sequencer.restart(last.seq);
    feed.tail.restart(last.seq, frames);
    return;
  }
  deliver(feed, feed.sequencer.accept(frames));
}

// The hot path: one buffer for all clients at the head, who are nearly all of them.
function deliver(feed: FeedState, frames: readonly EventFrame[]): void {
  if (frames.length === 0) return;
  feed.tail.append(frames);
  for (const slice of slices(frames, feed.context.limits.sliceBytesMax)) {
    const beforeSeq = (slice.frames[0]?.seq ?? 0) - 1;
    const lastSeq = slice.frames.at(-1)?.seq ?? 0;
    let count = 0;
    for (const client of feed.clients) {
      if (!canWrite(client)) continue;
      if (client.position === beforeSeq) {
        writeTo(client, slice.bytes);
        markSent(client, slice.frames);
        count += slice.frames.length;
      } else if (client.position < lastSeq) advance(feed, client);
    }
    feed.context.observer.onDelivered?.(count);
  }
  if (frames.at(-1)?.isEnd === true) endThoseWhoWait(feed);
}

function endThoseWhoWait(feed: FeedState): void {
  for (const client of feed.clients) if (client.untilEnd && canWrite(client)) settle(feed, client);
}

/** Lets go of what would keep the process busy. */
export function closeFeed(feed: FeedState): void {
  feed.isClosed = true;
  clearTimeout(feed.gapTimer);
  feed.gapTimer = undefined;
}

/** Goes on with a client whose response has room again. */
export function resumeClient(feed: FeedState, client: StreamClient): void {
  client.isBlocked = false;
  advance(feed, client);
}
