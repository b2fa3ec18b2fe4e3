// What the server keeps about one request from its first byte to its last: id, caller, deadline, and whether it was answered.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError, type Principal } from '@millrace/shared';
import type { Logger } from '@millrace/process';
import { sendProblem, type ProblemContext } from './problem-response.ts';
import type { ApiReply } from './route.ts';

/** No request takes longer, uploads and streams excepted; a little below the promised 10 s, so that the answer arrives within them. */
export const REQUEST_DEADLINE_MS = 9_500;
/** What an answered client may still send of its body before the connection is cut: enough to read the answer first. */
const LEFTOVER_MS = 2_000;

export type Exchange = {
  readonly requestId: string;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly startedAt: number;
  /** Undefined on public routes. */
  principal: Principal | undefined;
  /** Name for metrics; set when a route was found. */
  operation: string;
  /** Made on first use: most requests never look. */
  readonly signal: AbortSignal;
  /** True once an answer was given or the client has gone; whatever comes later is dropped. */
  isSettled(): boolean;
  reply(reply: ApiReply): void;
  /** @param status instead of the error's own, where HTTP has one that the error table has not */
  fail(error: unknown, status?: ProblemContext['status']): void;
  /** For streams and uploads: from now on there is no deadline. */
  liftDeadline(): void;
};

export type ExchangeDeps = { log: Logger; onDone(exchange: Exchange): void };

export function openExchange({ req, res }: { req: IncomingMessage; res: ServerResponse }, deps: ExchangeDeps): Exchange {
  const requestId = randomUUID();
  let aborter: AbortController | undefined;
  let settled = false;
  setCommonHeaders(res, requestId);
  const timer = setTimeout(() => {
    exchange.fail(req.complete ? overdue() : new AppError('request-timeout'));
    aborter?.abort();
  }, REQUEST_DEADLINE_MS);

  const settle = () => {
    settled = true;
    clearTimeout(timer);
    cutLeftover(req);
  };
  const exchange: Exchange = {
    requestId,
    req,
    res,
    startedAt: performance.now(),
    principal: undefined,
    operation: 'none',
    get signal() {
      aborter ??= new AbortController();
      if (res.closed) aborter.abort();
      return aborter.signal;
    },
    isSettled: () => settled,
    reply: (reply) => {
      if (settled) return;
      settle();
      send(res, reply);
    },
    fail: (error, status) => {
      if (settled) return;
      settle();
      sendProblem(res, error, { requestId, log: deps.log, ...(status === undefined ? {} : { status }) });
    },
    liftDeadline: () => {
      clearTimeout(timer);
    },
  };
  res.once('close', () => {
    settled = true;
    clearTimeout(timer);
    aborter?.abort();
    deps.onDone(exchange);
  });
  return exchange;
}

function overdue(): AppError {
  return new AppError('dependency-unavailable', { detail: 'The request could not be completed in time.', retryAfterSeconds: 2 });
}

function setCommonHeaders(res: ServerResponse, requestId: string): void {
  res.setHeader('x-request-id', requestId);
  res.setHeader('x-content-type-options', 'nosniff');
  res.setHeader('referrer-policy', 'no-referrer');
  res.setHeader('cache-control', 'no-store');
}

function send(res: ServerResponse, reply: ApiReply): void {
  if (reply.body === undefined) {
    res.writeHead(reply.status, reply.headers);
    res.end();
    return;
  }
  const raw = typeof reply.body === 'string' || reply.body instanceof Uint8Array;
  const body = raw ? (reply.body as string | Uint8Array) : JSON.stringify(reply.body);
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  res.writeHead(reply.status, { ...(raw ? {} : { 'content-type': 'application/json' }), 'content-length': length, ...reply.headers });
  res.end(body);
}

// An answer given before the body had arrived: what is left is thrown away for a moment, so that the client can read the answer, then cut.
function cutLeftover(req: IncomingMessage): void {
  if (req.complete) return;
  req.resume();
  const timer = setTimeout(() => req.destroy(), LEFTOVER_MS);
  timer.unref();
  req.once('close', () => {
    clearTimeout(timer);
  });
}
