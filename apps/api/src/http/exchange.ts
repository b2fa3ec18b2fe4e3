// What the server keeps about one request from its first byte to its last: id, caller, deadline, and whether it was answered.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError, type Principal } from '@millrace/shared';
import type { Logger } from '@millrace/process';
import type { Deadlines } from './deadlines.ts';
import { sendProblem, type ProblemContext } from './problem-response.ts';
import type { ApiReply, RawExchange } from './route.ts';

/** No request takes longer, uploads and streams excepted; a little below the promised 10 s, so that the answer arrives within them. */
export const REQUEST_DEADLINE_MS = 9_500;
/** What an answered client may still send of its body before the connection is cut: enough to read the answer first. */
const LEFTOVER_MS = 2_000;

export type Exchange = {
  readonly requestId: string;
  readonly req: IncomingMessage;
  /** To look at. Whoever answers by it himself takes it from `raw`. */
  readonly res: ServerResponse;
  readonly startedAt: number;
  /** Undefined on public routes. */
  principal: Principal | undefined;
  /** Name for metrics; set when a route was found. */
  operation: string;
  /** Aborts when the client is gone or the deadline passed. Made on first use: most requests never look. */
  signal(): AbortSignal;
  /** True once an answer was given or the client has gone; whatever comes later is dropped. */
  isSettled(): boolean;
  reply(reply: ApiReply): void;
  /** @param status instead of the error's own, where HTTP has one that the error table has not */
  fail(error: unknown, status?: ProblemContext['status']): void;
  /** For those who answer by themselves: the headers of every answer are set on it. */
  raw(): RawExchange;
  /** For streams and uploads: from now on there is no deadline. */
  liftDeadline(): void;
};

/** `deadlines`: of REQUEST_DEADLINE_MS. */
export type ExchangeDeps = { log: Logger; deadlines: Deadlines; onDone(exchange: Exchange): void };

export function openExchange({ req, res }: RawExchange, deps: ExchangeDeps): Exchange {
  const requestId = randomUUID();
  let aborter: AbortController | undefined;
  let settled = false;
  const deadline = deps.deadlines.add(() => {
    exchange.fail(req.complete ? overdue() : new AppError('request-timeout'));
    aborter?.abort();
  });
  const settle = () => {
    settled = true;
    deadline.lift();
    cutLeftover(req);
  };
  // Methods, no getters: an object with a getter of its own gets a hidden class of its own, which keeps the whole request in memory until the
  // next full collection.
  const exchange: Exchange = {
    requestId,
    req,
    res,
    startedAt: performance.now(),
    principal: undefined,
    operation: 'none',
    signal: () => {
      aborter ??= new AbortController();
      if (res.closed) aborter.abort();
      return aborter.signal;
    },
    isSettled: () => settled,
    reply: (reply) => {
      if (settled) return;
      settle();
      send(exchange, reply);
    },
    fail: (error, status) => {
      if (settled) return;
      settle();
      setCommonHeaders(exchange);
      sendProblem(res, error, { requestId, log: deps.log, ...(status === undefined ? {} : { status }) });
    },
    raw: () => {
      if (!res.headersSent) setCommonHeaders(exchange);
      return { req, res };
    },
    liftDeadline: () => {
      deadline.lift();
    },
  };
  res.once('close', () => {
    settled = true;
    deadline.lift();
    aborter?.abort();
    deps.onDone(exchange);
  });
  return exchange;
}

function overdue(): AppError {
  return new AppError('dependency-unavailable', { detail: 'The request could not be completed in time.', retryAfterSeconds: 2 });
}

const REQUEST_ID_HEADER = 'x-request-id';
const COMMON_HEADERS = { 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', 'cache-control': 'no-store' };

function setCommonHeaders({ res, requestId }: Exchange): void {
  if (res.headersSent || res.hasHeader(REQUEST_ID_HEADER)) return;
  res.setHeader(REQUEST_ID_HEADER, requestId);
  for (const [name, value] of Object.entries(COMMON_HEADERS)) res.setHeader(name, value);
}

// Headers that go out all at once cost a third of those that are set one by one.
function send({ res, requestId }: Exchange, { status, body, headers }: ApiReply): void {
  const common = { [REQUEST_ID_HEADER]: requestId, ...COMMON_HEADERS };
  if (body === undefined) {
    res.writeHead(status, { ...common, ...headers });
    res.end();
    return;
  }
  const raw = typeof body === 'string' || body instanceof Uint8Array;
  const content = raw ? body : JSON.stringify(body);
  const length = typeof content === 'string' ? Buffer.byteLength(content) : content.length;
  res.writeHead(status, { ...common, ...(raw ? {} : { 'content-type': 'application/json' }), 'content-length': length, ...headers });
  // Without a character beyond ASCII the two encodings are the same, and this one needs no work.
  if (length === content.length) res.end(content, 'latin1');
  else res.end(content);
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
