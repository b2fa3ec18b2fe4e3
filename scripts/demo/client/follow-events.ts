// Follows an event stream to its end: reconnects where it broke off, with the id of the last event, and drops what it has seen.
import { setTimeout as delay } from 'node:timers/promises';
import { EventSourceParserStream, type EventSourceMessage } from 'eventsource-parser/stream';
import { DemoError } from '../demo-error.ts';
import type { ApiClient } from './api-client.ts';

type FollowOptions = {
  client: ApiClient;
  path: string;
  signal: AbortSignal;
  /** True for the event after which nothing is to come; it ends the generator. */
  isEnd: (event: EventSourceMessage) => boolean;
};

const RECONNECT_DELAY_MS = 500;
const RECONNECT_DELAY_MAX_MS = 5_000;
/** In a row, without one durable event in between: being refused again and again is no success. */
const FRUITLESS_CONNECTIONS_MAX = 8;
/** An event of a flow holds a phase's result, which may be 1 MiB. */
const EVENT_LENGTH_MAX = 8 * 1024 * 1024;

/**
 * Yields every event, progress (without an id) included. After `reset` the whole history follows again, which is passed on as it comes.
 * @throws DemoError when the stream cannot be had several times in a row.
 */
export async function* followEvents({ client, path, signal, isEnd }: FollowOptions): AsyncGenerator<EventSourceMessage> {
  const position = { lastEventId: '', retryMs: RECONNECT_DELAY_MS };
  for (let fruitless = 0; fruitless < FRUITLESS_CONNECTIONS_MAX; fruitless += 1) {
    if (fruitless > 0) await delay(Math.min(RECONNECT_DELAY_MAX_MS, position.retryMs * fruitless), undefined, { signal });
    for await (const event of readConnection({ client, path, position, signal })) {
      if (event.id !== undefined) fruitless = 0;
      yield event;
      if (isEnd(event)) return;
    }
  }
  throw new DemoError('unavailable', `The event stream ${path} broke off ${FRUITLESS_CONNECTIONS_MAX} times in a row.`);
}

type Position = { lastEventId: string; retryMs: number };

type Connection = Pick<FollowOptions, 'client' | 'path' | 'signal'> & { position: Position };

// A connection that breaks ends the generator: the caller connects again.
async function* readConnection({ client, path, position, signal }: Connection): AsyncGenerator<EventSourceMessage> {
  try {
    const headers: Record<string, string> = position.lastEventId === '' ? {} : { 'last-event-id': position.lastEventId };
    const response = await client.send({ method: 'GET', path, accept: 'text/event-stream', headers, allow: [503] });
    if (response.status === 503 || response.body === null) {
      await response.body?.cancel();
      return;
    }
    const parser = new EventSourceParserStream({
      maxBufferSize: EVENT_LENGTH_MAX,
      onRetry: (retryMs) => void (position.retryMs = retryMs),
    });
    for await (const event of response.body.pipeThrough(new TextDecoderStream()).pipeThrough(parser)) {
      if (event.id !== undefined) position.lastEventId = event.id;
      if (event.event === 'reset') position.lastEventId = '';
      yield event;
    }
  } catch (error) {
    if (signal.aborted || !isBrokenConnection(error)) throw error;
  }
}

// fetch reports a broken body as TypeError; our client has made its own error of one that never came about.
function isBrokenConnection(error: unknown): boolean {
  return error instanceof TypeError || (error instanceof DemoError && error.kind === 'unavailable');
}
