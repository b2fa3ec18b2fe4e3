// Requests that are wrong as HTTP, and clients that are slow: answered as problems, the socket freed.
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ask, sendBytes } from '../test-support/ask.ts';
import { startTestApi, TEST_ADMIN_KEY, type TestApi } from '../test-support/start-test-api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

const AUTH = `host: x\r\nauthorization: Bearer ${TEST_ADMIN_KEY}\r\n`;
const CLOSE = 'connection: close\r\n';
const statusOf = (text: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
const problemOf = (text: string) => JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4)) as { status: number; code: string };

describe('the protocol', () => {
  it.each([
    ['no HTTP at all', 'hello\r\n\r\n', 400],
    [
      'both lengths',
      `POST /v1/flows HTTP/1.1\r\n${AUTH}content-type: application/json\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    ['a header with a bare line feed', `GET /v1/flows HTTP/1.1\r\n${AUTH}x-a: b\x00c\r\n\r\n`, 400],
    ['64 kB of headers', `GET /v1/flows HTTP/1.1\r\n${AUTH}x-a: ${'a'.repeat(65_536)}\r\n\r\n`, 431],
    [
      '101 headers',
      `GET /v1/flows HTTP/1.1\r\n${AUTH}${CLOSE}${Array.from({ length: 101 }, (_, index) => `x-${index}: 1\r\n`).join('')}\r\n`,
      431,
    ],
    ['an address of 10 kB', `GET /v1/flows?q=${'a'.repeat(10_000)} HTTP/1.1\r\n${AUTH}${CLOSE}\r\n`, 414],
    ['an address of 20 kB', `GET /v1/flows?q=${'a'.repeat(20_000)} HTTP/1.1\r\n${AUTH}${CLOSE}\r\n`, 431],
  ])('refuses %s', async (_name, bytes, status) => {
    const text = await sendBytes(api, bytes);
    expect(statusOf(text)).toBe(status);
    expect(problemOf(text).status).toBe(status);
    expect(text).toContain('application/problem+json');
  });

  it('answers a whole request although rubbish follows it, and nothing after it', async () => {
    const text = await sendBytes(api, `GET /v1/flows HTTP/1.1\r\n${AUTH}\r\n\x00rubbish\r\n\r\nmore rubbish\r\n\r\n`);
    expect(statusOf(text)).toBe(200);
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(text).toContain('Connection: close');
  });

  it('answers 413 before a body that is announced as too large is sent', async () => {
    const text = await sendBytes(
      api,
      `POST /v1/flows HTTP/1.1\r\n${AUTH}${CLOSE}content-type: application/json\r\ncontent-length: 99999999\r\nexpect: 100-continue\r\n\r\n`,
    );
    expect(statusOf(text)).toBe(413);
    expect(text).not.toContain('100 Continue');
  });

  it('asks for the body of a client that waits to be asked', async () => {
    const body = '{"flow":"test.one","input":{}}';
    const text = await sendBytes(
      api,
      `POST /v1/flows HTTP/1.1\r\n${AUTH}${CLOSE}content-type: application/json\r\ncontent-length: ${body.length}\r\nexpect: 100-continue\r\n\r\n${body}`,
    );
    expect(text.startsWith('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202')).toBe(true);
  });

  it('cuts slow headers and slow bodies with 408 within 10 s', async () => {
    const startedAt = performance.now();
    const [headers, body] = await Promise.all([
      sendBytes(api, 'GET /v1/flows HTTP/1.1\r\nhost: x\r\nx-slow'),
      sendBytes(api, `POST /v1/flows HTTP/1.1\r\n${AUTH}content-type: application/json\r\ncontent-length: 100\r\n\r\n{`),
    ]);
    expect([statusOf(headers), statusOf(body)]).toEqual([408, 408]);
    expect([problemOf(headers).code, problemOf(body).code]).toEqual(['request-timeout', 'request-timeout']);
    expect(performance.now() - startedAt).toBeLessThan(10_500);
  }, 15_000);

  it('survives a client that goes away in the middle of its body', async () => {
    await new Promise<void>((resolve) => {
      const socket = connect(api.port, '127.0.0.1', () => {
        socket.write(`POST /v1/flows HTTP/1.1\r\n${AUTH}content-type: application/json\r\ncontent-length: 100\r\n\r\n{`, () =>
          socket.destroy(),
        );
      });
      socket.on('close', () => {
        resolve();
      });
    });
    expect((await ask(api, { path: '/health/live', key: null })).status).toBe(200);
  });
});

describe('every answer', () => {
  it('carries the headers that keep browsers safe, and none that tell what we run', async () => {
    for (const path of ['/v1/flows', '/v1/nothing', '/', '/docs', '/openapi.json', '/admin/queues', '/health/live']) {
      const { headers } = await ask(api, { path });
      expect(headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cache-control': 'no-store',
        'x-request-id': expect.any(String),
      });
      expect(headers).not.toHaveProperty('x-powered-by');
      expect(headers).not.toHaveProperty('access-control-allow-origin');
      const isPage = String(headers['content-type']).includes('html');
      expect({ path, policy: String(headers['content-security-policy']).startsWith("default-src 'none'") }).toEqual({
        path,
        policy: isPage,
      });
    }
  });

  it('to HEAD is that to GET without a body', async () => {
    const [get, head] = await Promise.all([ask(api, { path: '/v1/flows' }), ask(api, { method: 'HEAD', path: '/v1/flows' })]);
    expect({ status: head.status, text: head.text, length: head.headers['content-length'] }).toEqual({
      status: get.status,
      text: '',
      length: get.headers['content-length'],
    });
  });

  it('to OPTIONS names the methods', async () => {
    const answer = await ask(api, { method: 'OPTIONS', path: '/v1/flows' });
    expect({ status: answer.status, allow: answer.headers.allow }).toEqual({ status: 204, allow: 'POST, GET, HEAD, OPTIONS' });
  });
});
