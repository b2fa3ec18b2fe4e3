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
import { mediaTypesOf, type ApiReply, type ApiRequest, type Route, type RouteBody } from './route.ts';

const JSON_TYPES = ['application/json'] as const;
const EVENT_STREAM = 'text/event-stream';
const NO_BODY = z.strictObject({});

export type RouteCall = { route: Route; exchange: Exchange; params: Readonly<Record<string, string>> };

/**
 * Which of a path's routes a method means; HEAD means GET unless the route refuses it.
 * @throws AppError method-not-allowed with the methods that are allowed
 */
export function routeOf(routes: readonly Route[], exchange: Exchange): Route {
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
export function requireAccess(access: Access, exchange: Exchange): void {
  // That there is a token was checked before the path; the handler finds out what it is good for.
  if (access === 'public' || access === 'callback-token') return;
  if (access === 'loopback-or-viewer') {
    if (exchange.principal === undefined && !isLoopback(exchange.req)) throw new AppError('unauthorized');
    return;
  }
  if (exchange.principal === undefined) throw new AppError('unauthorized');
  if (!roleAllows(exchange.principal.role, access)) throw new AppError('insufficient-role', { detail: `This needs the role ${access}.` });
}

/** Everything after the route is known. Undefined when the handler answered by itself. @throws AppError for every problem */
export async function serveRoute({ route, exchange, params }: RouteCall): Promise<ApiReply | void> {
  requireAccess(ACCESS_TABLE[route.operationId], exchange);
  requireReadable(route, exchange.req.headers);
  if (route.deadline === 'none') exchange.liftDeadline();
  const raw =
    route.body?.kind === 'json' || route.body?.kind === 'batch' ? await readParsed(route.body, exchange) : await skipBody(route, exchange);
  const query = parseQuery(exchange.req.url ?? '', route);
  const body = route.body?.kind === 'json' ? validate(route.body.schema, raw) : raw;
  requireIds(route, params);
  const request: ApiRequest = {
    requestId: exchange.requestId,
    // Routes that need no principal are typed without it; the others have passed requireAccess.
    principal: exchange.principal as Principal,
    params,
    query,
    body,
    headers: exchange.req.headers,
    get signal() {
      return exchange.signal;
    },
    raw: { req: exchange.req, res: exchange.res },
  };
  return route.handler(request);
}

// What lies beside /v1 is for browsers and probes, which take what they get.
function requireReadable(route: Route, { accept }: IncomingHttpHeaders): void {
  if (accept === undefined || accept === '*/*' || accept === 'application/json' || !isApiPath(route.path)) return;
  const answers = Object.entries(route.responses).filter(([status]) => Number(status) < 300);
  requireAcceptable(accept, [...new Set(answers.flatMap(([, response]) => mediaTypesOf(response)))]);
}

async function readParsed(body: Extract<RouteBody, { kind: 'json' | 'batch' }>, exchange: Exchange): Promise<unknown> {
  if (body.kind === 'batch') return readBatch(exchange);
  if (body.optional === true && declaredLength(exchange.req) === 0) return {};
  requireMediaType(exchange.req, JSON_TYPES);
  return parseJson(await readBody(exchange, body.maxBytes ?? LIMITS.bodyBytesMax));
}

// Routes without a body take none, or an empty JSON object; routes for bytes read them themselves.
async function skipBody(route: Route, exchange: Exchange): Promise<undefined> {
  const { req, res } = exchange;
  if (route.body?.kind === 'bytes') {
    if (route.body.contentTypes !== undefined) requireMediaType(req, route.body.contentTypes);
    if (route.body.maxBytes !== undefined) requireLengthWithin(req, route.body.maxBytes);
    if (req.headers.expect !== undefined) res.writeContinue();
    return undefined;
  }
  if (route.method === 'get' || declaredLength(req) === 0) return undefined;
  const bytes = await readBody(exchange, LIMITS.bodyBytesMax);
  if (bytes.length === 0) return undefined;
  requireMediaType(req, JSON_TYPES);
  validate(NO_BODY, parseJson(bytes));
  return undefined;
}

function requireIds(route: Route, params: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(params)) {
    if (route.nameParams?.includes(name) !== true && !isUuid(value)) throw new AppError('not-found');
  }
}
