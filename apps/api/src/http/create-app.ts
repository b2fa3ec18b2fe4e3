// Turns routes into what the server calls for each request: opens the exchange, finds the caller, then the path, then serves the route.
// Our own paths never pass through Express: it is there for the applications of others, and for what nobody knows.
import type { RequestListener } from 'node:http';
import { type Principal } from '@millrace/shared';
import type { Logger } from '@millrace/process';
import type { Authenticator } from '../auth/authenticator.ts';
import { ACCESS_TABLE } from './access-table.ts';
import { createDeadlines } from './deadlines.ts';
import { openExchange, REQUEST_DEADLINE_MS, type Exchange } from './exchange.ts';
import { addressFault, bearerOf, findCaller, isApiPath, isCallbackPath, isLoopback } from './find-caller.ts';
import { createMounts, type Mount } from './mounts.ts';
import type { Route } from './route.ts';
import { createRouteTable, type FoundPath } from './route-table.ts';
import { allowedMethods, serveRoute } from './serve-route.ts';

export type AppDeps = {
  routes: readonly Route[];
  mounts?: readonly Mount[];
  authenticator: Authenticator;
  log: Logger;
  onDone(exchange: Exchange): void;
};

type PathRoutes = { routes: readonly Route[]; needsKeyFromAfar: boolean };
type Step = (exchange: Exchange) => void;

export function createApp(deps: AppDeps): RequestListener {
  const table = createRouteTable<PathRoutes>(deps.routes, (routes) => ({
    routes,
    needsKeyFromAfar: routes.some((route) => ACCESS_TABLE[route.operationId] === 'loopback-or-viewer'),
  }));
  const passOn = createMounts(deps.mounts ?? [], deps.log);
  const deadlines = createDeadlines(REQUEST_DEADLINE_MS);

  const route: Step = (exchange) => {
    let found: FoundPath<PathRoutes> | undefined;
    try {
      found = table.find(pathOf(exchange.req.url ?? ''));
    } catch (error) {
      exchange.fail(error);
      return;
    }
    if (found === undefined) {
      passOn(exchange);
      return;
    }
    const { value, params } = found;
    const serve = () => {
      serveMethod(value.routes, exchange, params);
    };
    // Below /v1 the caller is known by now. Here a key is only asked of those who are not on this machine.
    if (value.needsKeyFromAfar && !isLoopback(exchange.req)) identify(exchange, deps.authenticator, serve);
    else serve();
  };

  return (req, res) => {
    const exchange = openExchange({ req, res }, { log: deps.log, onDone: deps.onDone, deadlines });
    const fault = addressFault(req);
    const url = req.url ?? '';
    if (fault !== undefined) exchange.fail(fault.error, fault.status);
    else if (!isApiPath(url)) route(exchange);
    else if (isCallbackPath(url)) requireBearer(exchange, route);
    else identify(exchange, deps.authenticator, route);
  };
}

// The path as it was sent. Proxies may send the whole address, and careless clients the fragment that was meant for themselves.
function pathOf(url: string): string {
  if (!url.startsWith('/')) return URL.canParse(url) ? new URL(url).pathname : url;
  const end = url.search(/[?#]/);
  return end === -1 ? url : url.slice(0, end);
}

// What the token is good for is found out when it is used.
function requireBearer(exchange: Exchange, next: Step): void {
  try {
    bearerOf(exchange.req);
  } catch (error) {
    exchange.fail(error);
    return;
  }
  next(exchange);
}

// Calls `next` in the same turn when the key is known already.
function identify(exchange: Exchange, authenticator: Authenticator, next: Step): void {
  try {
    const found = findCaller(exchange.req, authenticator);
    if (found instanceof Promise) {
      void awaitCaller(found, exchange, next);
      return;
    }
    exchange.principal = found;
  } catch (error) {
    exchange.fail(error);
    return;
  }
  next(exchange);
}

async function awaitCaller(found: Promise<Principal>, exchange: Exchange, next: Step): Promise<void> {
  try {
    exchange.principal = await found;
  } catch (error) {
    exchange.fail(error);
    return;
  }
  next(exchange);
}

function serveMethod(routes: readonly Route[], exchange: Exchange, params: Readonly<Record<string, string>>): void {
  if (exchange.isSettled()) return;
  if (exchange.req.method === 'OPTIONS') exchange.reply({ status: 204, headers: { allow: allowedMethods(routes).join(', ') } });
  else void serveRoute({ routes, exchange, params });
}
