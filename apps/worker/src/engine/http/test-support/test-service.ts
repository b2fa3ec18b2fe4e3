// A service in another language, as far as a phase can tell: a real HTTP server that answers as a test says and keeps what it was sent.
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { HttpMessage } from '@millrace/sdk';
import { Webhook } from 'standardwebhooks';
import { TEST_HTTP_SECRET } from '../../test-support/engine-fixture.ts';

export type ServedRequest = { headers: IncomingHttpHeaders; text: string; body: HttpMessage; isSigned: boolean };
export type Answer = (response: ServerResponse, request: ServedRequest) => void;

export type TestService = {
  readonly url: string;
  readonly requests: ServedRequest[];
  /** How the next requests are answered, one after the other; the last one stays. */
  answers(...answers: Answer[]): void;
  /** The requests of one flow. */
  of(flowId: string): ServedRequest[];
  close(): Promise<void>;
};

/** An answer with a body. Objects are sent as JSON. */
export function answerWith(status: number, body: unknown = '', headers: Record<string, string> = {}): Answer {
  return (response) => {
    const isText = typeof body === 'string';
    response.writeHead(status, { 'content-type': isText ? 'text/plain' : 'application/json', ...headers });
    response.end(isText ? body : JSON.stringify(body));
  };
}

export async function startTestService(): Promise<TestService> {
  const requests: ServedRequest[] = [];
  let script: Answer[] = [answerWith(200, null)];
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      const request = {
        headers: incoming.headers,
        text,
        body: JSON.parse(text) as HttpMessage,
        isSigned: isSigned(text, incoming.headers),
      };
      requests.push(request);
      const answer = script.length > 1 ? script.shift() : script[0];
      answer?.(response, request);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/work`,
    requests,
    answers: (...answers) => {
      script = answers;
    },
    of: (flowId) => requests.filter((request) => request.body.flowId === flowId),
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

function isSigned(text: string, headers: IncomingHttpHeaders): boolean {
  try {
    new Webhook(TEST_HTTP_SECRET).verify(text, headers as Record<string, string>);
    return true;
  } catch {
    return false;
  }
}
