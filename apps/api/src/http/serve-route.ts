// One request on a known path, step by step in the promised order: method, role, media type and size, parse, validation, id, handler.
import type { IncomingHttpHeaders } from 'node:http';
import { AppError, isUuid, LIMITS, roleAllows, type Principal } from '@millrace/shared';
import { z } from 'zod';
import { ACCESS_TABLE, type Access } from './access-table.ts';
import type { Exchange } from './exchange.ts';
import { isApiPath, isLoopback } from './find-caller.ts';
import { requireAcceptable } from './input/accept.ts';
import { requireMediaType } from './input/media-type.ts';
import { parseJson } from './input/parse-json.ts';
import { parseQuery } from './input/parse-query.ts';
import { readBatch } from './input/read-batch.ts';
import { declaredLength, readBody, requireLengthWithin } from './input/read-body.ts';
import { validate } from './input/validate.ts';
import { mediaTypesOf, type ApiRequest, type Route, type RouteBody } from './route.ts';

const JSON_TYPES = ['application/json'] as const;
const EVENT_STREAM = 'text/event-stream';
const NO_BODY = z.strictObject({});

/** `routes`: all of the path. */
export type RouteCall = { routes: readonly Route[]; exchange: Exchange; params: Readonly<Record<string, string>> };

/**
 * Which of a path's routes a method means; HEAD means GET unless the route refuses it.
 * @throws AppError method-not-allowed with the methods that are allowed
 */
function routeOf(routes: readonly Route[], exchange: Exchange): Route {
  const method = exchange.req.method ?? 'GET';
  const wanted = method === 'HEAD' ? 'GET' : method;
  const route = routes.find((candidate) => candidate.method.toUpperCase() === wanted);
  if (route === undefined || (method === 'HEAD' && isHeadRefused(route, exchange))) {
    throw new AppError('method-not-allowed', { detail: 'This method is not allowed here.', allow: allowedMethods(routes) });
  }
  return route;
}

/** For the Allow header. */
export function allowedMethods(routes: readonly Route[]): string[] {
  const methods = routes.map((route) => route.method.toUpperCase());
  const withHead = routes.some((route) => route.method === 'get' && route.head === undefined) ? [...methods, 'HEAD'] : methods;
  return [...new Set([...withHead, 'OPTIONS'])];
}

function isHeadRefused(route: Route, { req }: Exchange): boolean {
  if (route.head === 'refused') return true;
  return route.head === 'refused-for-event-stream' && (req.headers.accept ?? '').includes(EVENT_STREAM);
}

/** Who may not call: 403 with a key of too low a role, 401 without one. */
function requireAccess(access: Access, exchange: Exchange): void {
  // That there is a token was checked before the path; the handler finds out what it is good for.
  if (access === 'public' || access === 'callback-token') return;
  if (access === 'loopback-or-viewer') {
    if (exchange.principal === undefined && !isLoopback(exchange.req)) throw new AppError('unauthorized');
    return;
  }
  if (exchange.principal === undefined) throw new AppError('unauthorized');
  if (!roleAllows(exchange.principal.role, access)) throw new AppError('insufficient-role', { detail: `This needs the role ${access}.` });
}

/** Answers the exchange by the route that its method means, also when something is wrong with the request. Never fails. */
export async function serveRoute({ routes, exchange, params }: RouteCall): Promise<void> {
  try {
    const route = routeOf(routes, exchange);
    exchange.operation = route.operationId;
    requireAccess(ACCESS_TABLE[route.operationId], exchange);
    requireReadable(route, exchange.req.headers);
    if (route.deadline === 'none') exchange.liftDeadline();
    const given = await bodyOf(route, exchange);
    const query = parseQuery(exchange.req.url ?? '', route);
    const body = route.body?.kind === 'json' ? validate(route.body.schema, given) : given;
    requireIds(route, params);
    const reply = await route.handler(requestOf(exchange, { params, query, body }));
    if (reply !== undefined) exchange.reply(reply);
  } catch (error) {
    if (exchange.res.headersSent && !exchange.res.writableEnded) exchange.res.destroy();
    exchange.fail(error);
  }
}

function requestOf(exchange: Exchange, parsed: Pick<ApiRequest, 'params' | 'query' | 'body'>): ApiRequest {
  return {
    requestId: exchange.requestId,
    // Routes that need no principal are typed without it; the others have passed requireAccess.
    principal: exchange.principal as Principal,
    params: parsed.params,
    query: parsed.query,
    body: parsed.body,
    headers: exchange.req.headers,
    isAbandoned: exchange.isSettled,
    signal: exchange.signal,
    raw: exchange.raw,
  };
}

// What lies beside /v1 is for browsers and probes, which take what they get.
function requireReadable(route: Route, { accept }: IncomingHttpHeaders): void {
  if (accept === undefined || accept === '*/*' || accept === 'application/json' || !isApiPath(route.path)) return;
  const answers = Object.entries(route.responses).filter(([status]) => Number(status) < 300);
  requireAcceptable(accept, [...new Set(answers.flatMap(([, response]) => mediaTypesOf(response)))]);
}

function bodyOf({ body, method }: Route, exchange: Exchange): unknown {
  switch (body?.kind) {
    case 'json':
      return readJson(body, exchange);
    case 'batch':
      return readBatch(exchange);
    case 'bytes':
      return leaveBytes(body, exchange);
    case undefined:
      return method === 'get' || declaredLength(exchange.req) === 0 ? undefined : skipBody(exchange);
  }
}

function readJson(body: Extract<RouteBody, { kind: 'json' }>, exchange: Exchange): unknown {
  if (body.optional === true && declaredLength(exchange.req) === 0) return {};
  requireMediaType(exchange.req, JSON_TYPES);
  return readBody(exchange, body.maxBytes ?? LIMITS.bodyBytesMax).then(parseJson);
}

// The handler reads them.
function leaveBytes(body: Extract<RouteBody, { kind: 'bytes' }>, { req, res }: Exchange): undefined {
  if (body.contentTypes !== undefined) requireMediaType(req, body.contentTypes);
  if (body.maxBytes !== undefined) requireLengthWithin(req, body.maxBytes);
  if (req.headers.expect !== undefined) res.writeContinue();
}

// Routes without a body take none, or an empty JSON object.
async function skipBody(exchange: Exchange): Promise<undefined> {
  const bytes = await readBody(exchange, LIMITS.bodyBytesMax);
  if (bytes.length === 0) return;
  requireMediaType(exchange.req, JSON_TYPES);
  validate(NO_BODY, parseJson(bytes));
}

function requireIds(route: Route, params: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(params)) {
    if (route.nameParams?.includes(name) !== true && !isUuid(value)) throw new AppError('not-found');
  }
}
