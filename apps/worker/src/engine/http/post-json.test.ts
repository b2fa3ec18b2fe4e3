import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { createPost } from './post-json.ts';

const post = createPost({ resultBytesMax: 100, otherBytesMax: 10 });
const servers: Server[] = [];

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

const send = (url: string, signal = new AbortController().signal) => post({ url, headers: { 'x-a': 'b' }, body: '"\u00fc"', signal });

describe('createPost', () => {
  it('sends the body as it is and answers what came back', async () => {
    const seen: unknown[] = [];
    const url = await serve((request, response) => {
      request
        .setEncoding('utf8')
        .on('data', (chunk) => seen.push(request.method, request.headers['content-length'], request.headers['x-a'], chunk));
      request.on('end', () => response.writeHead(200, { 'content-type': 'text/x', 'retry-after': '3' }).end('hello'));
    });
    expect(await send(url)).toEqual({ status: 200, contentType: 'text/x', retryAfter: '3', bytes: Buffer.from('hello'), isCut: false });
    expect(seen).toEqual(['POST', '4', 'b', '"\u00fc"']);
  });

  it('keeps no more of an answer than it may, less of one that failed', async () => {
    let status = 200;
    const url = await serve((_request, response) => response.writeHead(status).end('x'.repeat(101)));
    expect(await send(url)).toMatchObject({ bytes: Buffer.alloc(100, 'x'), isCut: true });
    status = 500;
    expect(await send(url)).toMatchObject({ status: 500, bytes: Buffer.alloc(10, 'x'), isCut: true });
  });

  it('uses a connection again, and another one when that was just being closed', async () => {
    let requests = 0;
    const connections = new Set<unknown>();
    const url = await serve((request, response) => {
      requests += 1;
      connections.add(request.socket);
      if (requests === 3) request.socket.destroy();
      else response.end(String(requests));
    });
    const answers = [await send(url), await send(url), await send(url)];
    expect(answers.map(({ bytes }) => bytes.toString())).toEqual(['1', '2', '4']);
    expect(connections.size).toBe(2);
  });

  it('does not send again what a new connection lost', async () => {
    let requests = 0;
    const url = await serve((request) => {
      requests += 1;
      request.socket.destroy();
    });
    await expect(send(url)).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(requests).toBe(1);
  });

  it('follows no redirect', async () => {
    const url = await serve((_request, response) => response.writeHead(302, { location: '/elsewhere' }).end());
    expect(await send(url)).toMatchObject({ status: 302 });
  });

  it.each([
    ['before the answer', false],
    ['within the answer', true],
  ])('ends with the signal %s', async (_, begins) => {
    const stopping = new AbortController();
    const url = await serve((_request, response) => {
      if (begins) response.writeHead(200).write('x');
      setTimeout(() => {
        stopping.abort(new Error('stop'));
      }, 20);
    });
    await expect(send(url, stopping.signal)).rejects.toThrow();
  });
});
