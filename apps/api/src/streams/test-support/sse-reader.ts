// A client of a stream, for tests: collects what arrives and settles promises when something that was waited for is there.
import { get, type ClientRequest, type IncomingMessage } from 'node:http';
import { createParser } from 'eventsource-parser';

type ReceivedEvent = { id: string | undefined; event: string | undefined; data: Record<string, unknown> };

export type SseReader = {
  readonly events: readonly ReceivedEvent[];
  readonly response: IncomingMessage;
  /** Everything as it came over the wire. */
  readonly text: string;
  /** seq of each numbered event, resets excluded, in order of arrival. */
  seqs(): number[];
  lastId(): string | undefined;
  /** Settles when the condition holds. @throws Error after 20 s */
  until(condition: (reader: SseReader) => boolean): Promise<void>;
  untilSeq(seq: number): Promise<void>;
  /** Settles when the stream has ended, whoever ended it. */
  readonly ended: Promise<void>;
  close(): void;
};

const WAIT_MS_MAX = 20_000;

export async function readStream(url: string, headers: Record<string, string> = {}): Promise<SseReader> {
  const { request, response } = await connect(url, headers);
  const events: ReceivedEvent[] = [];
  const waiting = new Set<() => void>();
  let text = '';
  const parser = createParser({
    onEvent: ({ id, event, data }) => {
      events.push({ id, event, data: JSON.parse(data) as Record<string, unknown> });
    },
  });
  const look = () => {
    for (const check of waiting) check();
  };
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => {
    text += chunk;
    parser.feed(chunk);
    look();
  });
  response.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => response.once('close', resolve));
  const reader: SseReader = {
    events,
    response,
    get text() {
      return text;
    },
    seqs: () => events.filter(({ event, id }) => id !== undefined && event !== 'reset').map(({ data }) => Number(data['seq'])),
    lastId: () => events.findLast(({ id }) => id !== undefined)?.id,
    until: (condition) => waitFor(waiting, () => condition(reader)),
    untilSeq: (seq) => waitFor(waiting, () => (reader.seqs().at(-1) ?? 0) >= seq),
    ended,
    close: () => {
      request.destroy();
    },
  };
  return reader;
}

function connect(url: string, headers: Record<string, string>): Promise<{ request: ClientRequest; response: IncomingMessage }> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, headers: { accept: 'text/event-stream', ...headers } }, (response) => {
      resolve({ request, response });
    });
    request.once('error', reject);
    request.on('error', () => undefined);
  });
}

function waitFor(waiting: Set<() => void>, condition: () => boolean): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    waiting.delete(check);
    reject(new Error('what the test waits for did not come'));
  }, WAIT_MS_MAX);
  const check = () => {
    if (!condition()) return;
    clearTimeout(timer);
    waiting.delete(check);
    resolve();
  };
  waiting.add(check);
  check();
  return promise;
}
