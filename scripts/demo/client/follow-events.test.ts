import { describe, expect, it } from '@jest/globals';
import type { ApiClient, ApiRequest } from './api-client.ts';
import { followEvents } from './follow-events.ts';

type Answer = { text: string; breaks?: boolean; status?: number };

/** Answers one connection after another, and remembers what was asked. */
function scripted(answers: readonly Answer[]): { client: ApiClient; asked: ApiRequest[] } {
  const asked: ApiRequest[] = [];
  const send = (request: ApiRequest): Promise<Response> => {
    const { text, breaks = false, status = 200 } = answers[asked.length] ?? { text: '' };
    asked.push(request);
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(text));
        if (breaks) controller.error(new TypeError('terminated'));
        else controller.close();
      },
    });
    return Promise.resolve(new Response(body, { status }));
  };
  return { client: { send, get: () => Promise.reject(new Error('not asked for')) }, asked };
}

async function follow(client: ApiClient, signal = new AbortController().signal): Promise<string[]> {
  const seen: string[] = [];
  for await (const event of followEvents({
    client,
    path: '/v1/flows/x/events',
    signal,
    isEnd: ({ event: name }) => name === 'flow.completed',
  }))
    seen.push(`${event.event} ${event.data}`);
  return seen;
}

const RETRY = 'retry: 1\n\n';

describe('followEvents', () => {
  it('ends with the last event', async () => {
    const { client, asked } = scripted([
      { text: 'id: e.1\nevent: flow.started\ndata: 1\n\nid: e.2\nevent: flow.completed\ndata: 2\n\nevent: late\ndata: 3\n\n' },
    ]);
    expect(await follow(client)).toEqual(['flow.started 1', 'flow.completed 2']);
    expect(asked).toHaveLength(1);
    expect(asked[0]?.headers).toEqual({});
  });

  it('goes on after the last event with an id when the connection ends, is refused for now, or ends in the middle of an event', async () => {
    const { client, asked } = scripted([
      { text: `${RETRY}id: e.1\nevent: a\ndata: 1\n\nevent: progress\ndata: p\n\nid: e.2\nevent: b\nda` },
      { text: '', status: 503 },
      { text: 'id: e.2\nevent: b\ndata: 2\n\n' },
      { text: 'id: e.3\nevent: flow.completed\ndata: 3\n\n' },
    ]);
    expect(await follow(client)).toEqual(['a 1', 'progress p', 'b 2', 'flow.completed 3']);
    expect(asked.map((request) => request.headers?.['last-event-id'])).toEqual([undefined, 'e.1', 'e.1', 'e.2']);
  });

  it('starts anew where the position is lost', async () => {
    const { client, asked } = scripted([
      { text: `${RETRY}id: old.7\nevent: a\ndata: 7\n\n` },
      { text: 'event: reset\ndata: {}\n\n' },
      { text: 'id: new.1\nevent: flow.completed\ndata: 1\n\n' },
    ]);
    expect(await follow(client)).toEqual(['a 7', 'reset {}', 'flow.completed 1']);
    expect(asked.map((request) => request.headers?.['last-event-id'])).toEqual([undefined, 'old.7', undefined]);
  });

  it('gives up when connection after connection brings nothing', async () => {
    const { client, asked } = scripted([{ text: RETRY }]);
    await expect(follow(client)).rejects.toThrow('broke off 8 times in a row');
    expect(asked).toHaveLength(8);
  });

  it('obeys the signal while it waits to connect again', async () => {
    const controller = new AbortController();
    const { client } = scripted([{ text: 'retry: 60000\n\n' }]);
    const following = follow(client, controller.signal);
    controller.abort();
    await expect(following).rejects.toMatchObject({ name: 'AbortError' });
  });
});
