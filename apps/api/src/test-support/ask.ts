// Sends one request as raw as a test wants it and gives back everything of the answer.
import { request, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { TEST_ADMIN_KEY, type TestApi } from './start-test-api.ts';

export type Answer = { status: number; headers: IncomingHttpHeaders; text: string; json: Record<string, unknown> };

export type Question = {
  method?: string;
  path: string;
  /** Null: without a key. Default: the admin key. */
  key?: string | null;
  headers?: OutgoingHttpHeaders;
  body?: string | Buffer;
};

/** The path is sent as it is written, without being normalised. A body gets `application/json` unless headers say otherwise. */
export function ask(api: Pick<TestApi, 'port'>, question: Question): Promise<Answer> {
  const key = question.key === undefined ? TEST_ADMIN_KEY : question.key;
  const headers: OutgoingHttpHeaders = {
    ...(key === null ? {} : { authorization: `Bearer ${key}` }),
    ...(question.body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(question.body) }),
    ...question.headers,
  };
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port: api.port, method: question.method ?? 'GET', path: question.path, headers, agent: false },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const isJson = /\bjson\b/.test(String(incoming.headers['content-type'])) && text !== '';
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            text,
            json: isJson ? (JSON.parse(text) as Record<string, unknown>) : {},
          });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(question.body);
  });
}

/** Posts a value as JSON. */
export function post(
  api: Pick<TestApi, 'port'>,
  path: string,
  { json, ...question }: Partial<Question> & { json: unknown },
): Promise<Answer> {
  return ask(api, { method: 'POST', path, body: JSON.stringify(json), ...question });
}

/** Writes bytes to the port and answers all that came back until the server closed the connection. */
export function sendBytes(api: Pick<TestApi, 'port'>, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(api.port, '127.0.0.1');
    const chunks: Buffer[] = [];
    socket.on('connect', () => socket.write(bytes));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('close', () => {
      resolve(Buffer.concat(chunks).toString());
    });
    socket.on('error', reject);
  });
}
