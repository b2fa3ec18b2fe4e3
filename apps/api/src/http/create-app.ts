// Turns routes into what the server calls for each request: opens the exchange, finds the caller, counts the request, then
// finds the path and serves the route.
// Our own paths never pass through Express: it is there for the applications of others, and for what nobody knows.
import type { RequestListener } from 'node:http';
import type { Logger } from '@millrace/process';
import type { Authenticator } from '../auth/authenticator.ts';
import type { AdmitRequest } from '../limits/admit-request.ts';
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
  /** Counts a request below /v1 and says in its headers what is left; throws when there is nothing left. */
  admit: AdmitRequest;
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

  // An address that is wrong is told only to those who may ask.
  const checkAddress: Step = (exchange) => {
    const fault = addressFault(exchange.req);
    if (fault === undefined) route(exchange);
    else exchange.fail(fault.error, fault.status);
  };
  const admit: Step = (exchange) => {
    settleThen(
      () => deps.admit(exchange),
      exchange,
      () => {
        checkAddress(exchange);
      },
    );
  };

  return (req, res) => {
    const exchange = openExchange({ req, res }, { log: deps.log, onDone: deps.onDone, deadlines });
    const url = req.url ?? '';
    if (!isApiPath(url)) checkAddress(exchange);
    else if (isCallbackPath(url)) requireBearer(exchange, admit);
    else identify(exchange, deps.authenticator, admit);
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
  settleThen(
    () => void bearerOf(exchange.req),
    exchange,
    () => {
      next(exchange);
    },
  );
}

function identify(exchange: Exchange, authenticator: Authenticator, next: Step): void {
  settleThen(
    () => findCaller(exchange.req, authenticator),
    exchange,
    (principal) => {
      exchange.principal = principal;
      next(exchange);
    },
  );
}

// Goes on in the same turn when there is nothing to wait for: most keys are known already. What is thrown is the answer.
function settleThen<T>(step: () => T | Promise<T>, exchange: Exchange, goOn: (result: T) => void): void {
  const refuse = (error: unknown) => {
    exchange.fail(error);
  };
  let result: T | Promise<T>;
  try {
    result = step();
  } catch (error) {
    refuse(error);
    return;
  }
  if (result instanceof Promise) result.then(goOn, refuse);
  else goOn(result);
}

function serveMethod(routes: readonly Route[], exchange: Exchange, params: Readonly<Record<string, string>>): void {
  if (exchange.isSettled()) return;
  if (exchange.req.method === 'OPTIONS') exchange.reply({ status: 204, headers: { allow: allowedMethods(routes).join(', ') } });
  else void serveRoute({ routes, exchange, params });
}
