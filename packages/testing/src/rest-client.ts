// A small REST and SSE client for tests: plain fetch, JSON in and out, statuses as they come.
import { createParser, type EventSourceMessage } from 'eventsource-parser';

export type RestAnswer<Body = Record<string, unknown>> = { status: number; headers: Headers; body: Body };

export type RestClient = {
  readonly baseUrl: string;
  get<Body = Record<string, unknown>>(path: string, headers?: Record<string, string>): Promise<RestAnswer<Body>>;
  post<Body = Record<string, unknown>>(path: string, body?: unknown, headers?: Record<string, string>): Promise<RestAnswer<Body>>;
  /** Sends a request as it is given: any method, any body. */
  send<Body = Record<string, unknown>>(path: string, init: RequestInit & { duplex?: 'half' }): Promise<RestAnswer<Body>>;
  /** Server-sent events of a path as they come, until the stream ends or the signal aborts. */
  events(path: string, options?: { lastEventId?: string; signal?: AbortSignal }): AsyncGenerator<EventSourceMessage>;
};

export function createRestClient({ baseUrl, key }: { baseUrl: string; key: string | null }): RestClient {
  const authorization: Record<string, string> = key === null ? {} : { authorization: `Bearer ${key}` };
  const send = async <Body>(path: string, init: RequestInit): Promise<RestAnswer<Body>> => {
    const response = await fetch(`${baseUrl}${path}`, {
      ...init,
      headers: { ...authorization, ...(init.headers as Record<string, string> | undefined) },
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') === true;
    return { status: response.status, headers: response.headers, body: (isJson ? JSON.parse(text) : text) as Body };
  };
  return {
    baseUrl,
    get: (path, headers = {}) => send(path, { headers }),
    post: (path, body, headers = {}) =>
      send(path, {
        method: 'POST',
        headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    send,
    events: (path, options = {}) =>
      readEvents(
        `${baseUrl}${path}`,
        { ...authorization, ...(options.lastEventId === undefined ? {} : { 'last-event-id': options.lastEventId }) },
        options.signal,
      ),
  };
}

async function* readEvents(
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal | undefined,
): AsyncGenerator<EventSourceMessage> {
  const response = await fetch(url, { headers: { ...headers, accept: 'text/event-stream' }, ...(signal === undefined ? {} : { signal }) });
  if (response.status !== 200 || response.body === null)
    throw new Error(`the stream answered ${response.status}: ${await response.text()}`);
  const messages: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (message) => messages.push(message) });
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    parser.feed(chunk);
    yield* messages.splice(0);
  }
}
