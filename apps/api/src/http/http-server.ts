// The server socket: time-outs, limits of the protocol itself, and answers to what is no HTTP at all.
import { createServer, STATUS_CODES, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { AppError, newId } from '@millrace/shared';
import type { Logger } from '@millrace/process';
import { escapedJson, toProblem } from './problem-response.ts';

/** Headers must be complete within this time. Bodies have the request's own deadline, uploads and streams theirs. */
const HEADERS_TIMEOUT_MS = 9_000;
const CHECK_EVERY_MS = 500;
/** Longer than the idle time-out of the usual load balancers (60 s), so that they, not we, close idle connections. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;
const HEADER_BYTES_MAX = 16 * 1024;

export function createHttpServer({ listener, log }: { listener: RequestListener; log: Logger }): Server {
  const server = createServer({
    headersTimeout: HEADERS_TIMEOUT_MS,
    // Would also cut uploads and is therefore off; every other body is bounded by its exchange.
    requestTimeout: 0,
    connectionsCheckingInterval: CHECK_EVERY_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    maxHeaderSize: HEADER_BYTES_MAX,
    // Excess headers must reach us to be refused; Node would drop them silently.
    noDelay: true,
  });
  server.maxHeadersCount = 0;
  server.on('request', listener);
  // `Expect: 100-continue`: the answer comes when a body is read, or an error before any of it was sent.
  server.on('checkContinue', listener);
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    answerProtocolFault(error, { socket: socket as Socket, log });
  });
  return server;
}

function answerProtocolFault(fault: NodeJS.ErrnoException, { socket, log }: { socket: Socket; log: Logger }): void {
  if (fault.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) {
    socket.destroy();
    return;
  }
  const answering = responseInFlight(socket);
  if (answering?.req.complete === true) {
    // The fault lies behind a request that is whole: that one is answered, and nothing after it.
    answering.shouldKeepAlive = false;
    socket.pause();
    answering.once('close', () => socket.destroy());
    return;
  }
  const { error, status } = classify(fault);
  const requestId = newId();
  const problem = toProblem(error, { requestId, log, ...(status === undefined ? {} : { status }) });
  const body = escapedJson(problem);
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    'x-content-type-options: nosniff',
    'cache-control: no-store',
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

// Node keeps it under this name since its beginnings, and has no other way to ask.
function responseInFlight(socket: Socket): ServerResponse | undefined {
  return (socket as Socket & { _httpMessage?: ServerResponse | null })._httpMessage ?? undefined;
}

function classify(fault: NodeJS.ErrnoException): { error: AppError; status?: 431 } {
  switch (fault.code) {
    case 'HPE_HEADER_OVERFLOW':
      return {
        error: new AppError('payload-too-large', { detail: `Address and headers may have at most ${HEADER_BYTES_MAX} bytes.` }),
        status: 431,
      };
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { error: new AppError('request-timeout') };
    default:
      return { error: new AppError('invalid-encoding', { detail: 'This is not a valid HTTP request.' }) };
  }
}
