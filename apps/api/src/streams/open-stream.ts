// The life of one stream: its first bytes, joining the feed of its subject, and its end, whoever brings that about.
import { createStreamClient, endClient, writeTo, type StreamClient } from './client/stream-client.ts';
import { openSubjectFeed, type SubjectFeed } from './feed/subject-feed.ts';
import { startPoint, type StartPoint } from './frames/event-id.ts';
import { farewellFrame, jitteredMs, resetFrame, retryFrame } from './frames/sse-frame.ts';
import { epochOf, type HubState, type StreamRequest } from './hub-state.ts';
import { REFUSED_RETRY_MS, RETRY_MS, STREAM_LIMITS } from './stream-limits.ts';

/** no-transform and X-Accel-Buffering keep proxies from holding events back. */
const STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
};

/**
 * Begins a stream. Overload and shutdown are answered with 200 as well, since an EventSource never comes back from any other status.
 * @throws AppError dependency-unavailable while the epoch cannot be read; nothing has been written then
 */
export async function openStream(hub: HubState, request: StreamRequest): Promise<void> {
  const { res, principal, head } = request;
  const epoch = await epochOf(hub);
  if (res.destroyed || res.closed) return;
  res.writeHead(200, STREAM_HEADERS);
  res.flushHeaders();
  if (hub.isStopping) {
    res.end(farewellFrame('bye', { reason: 'shutdown', retryMs: jitteredMs(RETRY_MS) }));
    return;
  }
  if (!hub.register.hasRoomFor(principal)) {
    hub.observer.onRefused?.();
    res.end(farewellFrame('refused', { reason: 'too-many-streams', retryMs: jitteredMs(REFUSED_RETRY_MS) }));
    return;
  }
  const start = startPoint(request.cursor, { epoch, seqLast: head.seqLast });
  const client = newClient(hub, request, start);
  const feed = feedOf(hub, { subject: request.subject, epoch });
  hub.register.add(client);
  hub.observer.onOpened?.();
  listen(hub, { client, feed });
  writeTo(client, firstFrames(hub, { start, epoch }));
  feed.join(client, head.seqLast);
}

function newClient(hub: HubState, { res, principal, subject, untilEnd, head }: StreamRequest, start: StartPoint): StreamClient {
  const nowMs = hub.clock.monotonicMs();
  const rotateAfterMs = jitteredMs({ minMs: 0.9 * STREAM_LIMITS.rotateAfterMs, maxMs: 1.1 * STREAM_LIMITS.rotateAfterMs });
  return createStreamClient({
    res,
    principal,
    subjectId: subject.id,
    untilEnd,
    position: start.kind === 'after' ? start.seq : 0,
    endSeq: head.ended ? head.seqLast : 0,
    nextPingAtMs: nowMs + STREAM_LIMITS.pingEveryMs,
    rotateAtMs: nowMs + rotateAfterMs,
  });
}

function firstFrames(hub: HubState, { start, epoch }: { start: StartPoint; epoch: string }): Buffer {
  const retry = retryFrame(jitteredMs(RETRY_MS));
  if (start.kind === 'after') return retry;
  hub.observer.onReset?.(start.reason);
  return Buffer.concat([retry, resetFrame(start.reason, { epoch, afterSeq: 0 })]);
}

function feedOf(hub: HubState, { subject, epoch }: { subject: StreamRequest['subject']; epoch: string }): SubjectFeed {
  const existing = hub.feeds.get(subject.id);
  if (existing !== undefined) return existing;
  const { subscriptions, keys, log } = hub.deps;
  const feed = openSubjectFeed({ subject, epoch, context: hub.context, subscriptions, keys, log });
  hub.feeds.set(subject.id, feed);
  return feed;
}

// 'close' comes after every end, ours or the client's, so waiting for 'drain' can never be for ever.
function listen(hub: HubState, { client, feed }: { client: StreamClient; feed: SubjectFeed }): void {
  const resume = () => {
    feed.resume(client);
  };
  client.res.on('drain', resume);
  client.res.once('close', () => {
    client.res.off('drain', resume);
    client.isEnding = true;
    leaveFeed(hub, client);
    hub.register.remove(client);
    hub.observer.onClosed?.();
  });
}

/** Ends a stream whose run has ended. */
export function finishStream(hub: HubState, client: StreamClient): void {
  leaveFeed(hub, client);
  endClient(client);
}

/** Says goodbye: the client may come back after a while, with its last id. */
export function dismissStream(hub: HubState, client: StreamClient, reason: 'shutdown' | 'rotation' | 'unauthorized'): void {
  leaveFeed(hub, client);
  endClient(client, farewellFrame('bye', { reason, retryMs: jitteredMs(RETRY_MS) }));
}

/** Drops the connection of a client that does not take its bytes. It resumes by id. */
export function cutStream(hub: HubState, client: StreamClient, reason: string): void {
  if (client.res.destroyed) return;
  hub.observer.onCut?.(reason);
  leaveFeed(hub, client);
  client.isEnding = true;
  client.res.destroy();
}

function leaveFeed(hub: HubState, client: StreamClient): void {
  const feed = hub.feeds.get(client.subjectId);
  if (feed?.leave(client) !== true) return;
  feed.close();
  hub.feeds.delete(client.subjectId);
}
