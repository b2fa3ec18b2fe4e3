// Turns routes into an Express application: one layer in front that opens the exchange, finds the caller and counts the request, one layer per path,
// two at the end for what matched nothing and for what went wrong. No other middleware: every request pays for each.
import { AppError, type ErrorCode } from '@millrace/shared';
import type { Logger } from '@millrace/process';
import express, {
  type ErrorRequestHandler,
  type Express,
  type NextFunction,
  type Request,
  type RequestHandler,
  type Response,
} from 'express';
import type { Authenticator } from '../auth/authenticator.ts';
import type { AdmitRequest } from '../limits/admit-request.ts';
import { ACCESS_TABLE } from './access-table.ts';
import { openExchange, type Exchange } from './exchange.ts';
import { addressFault, bearerOf, findCaller, isApiPath, isCallbackPath, isLoopback } from './find-caller.ts';
import type { Route } from './route.ts';
import { allowedMethods, routeOf, serveRoute } from './serve-route.ts';

export type AppDeps = {
  routes: readonly Route[];
  /** Applications of others, such as Bull Board, each with its own gate: path -> handler. */
  mounts?: readonly { path: string; handler: RequestHandler }[];
  authenticator: Authenticator;
  /** Counts a request below /v1 and says in its headers what is left; throws when there is nothing left. */
  admit: AdmitRequest;
  log: Logger;
  onDone(exchange: Exchange): void;
};

type Locals = { exchange: Exchange };

export function createApp(deps: AppDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  // A path that differs in case or in a trailing slash is another path: the caller is looked for by the very same text.
  app.enable('case sensitive routing');
  app.enable('strict routing');
  app.set('query parser', false);
  app.use(frontLayer(deps));
  for (const [path, routes] of byPath(deps.routes)) app.route(expressPath(path)).all(pathLayer(routes, deps));
  for (const mount of deps.mounts ?? []) app.use(mount.path, mount.handler);
  app.use((_request: Request, response: Response<unknown, Locals>) => {
    response.locals.exchange.fail(new AppError('not-found'));
  });
  app.use(errorLayer(deps));
  return app;
}

/** The exchange that the front layer opened for this response. */
export function exchangeOf(response: Response): Exchange {
  return (response as Response<unknown, Locals>).locals.exchange;
}

function frontLayer(deps: AppDeps): RequestHandler {
  return (request: Request, response: Response, next: NextFunction) => {
    const exchange = openExchange({ req: request, res: response }, deps);
    (response as Response<unknown, Locals>).locals.exchange = exchange;
    const goOn = () => {
      const fault = addressFault(request);
      if (fault === undefined) next();
      else exchange.fail(fault.error, fault.status);
    };
    if (!isApiPath(request.url)) goOn();
    else if (isCallbackPath(request.url)) requireBearer(exchange, () => settleThen(() => deps.admit(exchange), exchange, goOn));
    else identify(exchange, deps, () => settleThen(() => deps.admit(exchange), exchange, goOn));
  };
}

// What the token is good for is found out when it is used.
function requireBearer(exchange: Exchange, next: () => void): void {
  settleThen(() => void bearerOf(exchange.req), exchange, next);
}

function identify(exchange: Exchange, deps: Pick<AppDeps, 'authenticator'>, next: () => void): void {
  const find = () => findCaller(exchange.req, deps.authenticator);
  settleThen(find, exchange, (principal) => {
    exchange.principal = principal;
    next();
  });
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

function pathLayer(routes: readonly Route[], deps: AppDeps): RequestHandler {
  const needsKeyFromAfar = routes.some((route) => ACCESS_TABLE[route.operationId] === 'loopback-or-viewer');
  const serve = (request: Request, exchange: Exchange) => {
    if (request.method === 'OPTIONS') {
      exchange.reply({ status: 204, headers: { allow: allowedMethods(routes).join(', ') } });
      return;
    }
    void run(routes, exchange, request.params as Record<string, string>);
  };
  return (request: Request, response: Response) => {
    const exchange = exchangeOf(response);
    if (exchange.isSettled()) return;
    // Below /v1 the caller is known by now. Here a key is only asked of those who are not on this machine.
    if (needsKeyFromAfar && !isLoopback(request))
      identify(exchange, deps, () => {
        serve(request, exchange);
      });
    else serve(request, exchange);
  };
}

async function run(routes: readonly Route[], exchange: Exchange, params: Record<string, string>): Promise<void> {
  try {
    const route = routeOf(routes, exchange);
    exchange.operation = route.operationId;
    const reply = await serveRoute({ route, exchange, params });
    if (reply !== undefined) exchange.reply(reply);
  } catch (error) {
    if (exchange.res.headersSent && !exchange.res.writableEnded) exchange.res.destroy();
    exchange.fail(error);
  }
}

function errorLayer(deps: AppDeps): ErrorRequestHandler {
  // oxlint-disable-next-line eslint/max-params -- Express knows an error layer by its four parameters.
  return (error: unknown, _request: Request, response: Response, _next: NextFunction) => {
    const exchange = exchangeOf(response);
    const code: ErrorCode = error instanceof URIError || statusOf(error) === 400 ? 'invalid-encoding' : 'internal';
    if (code === 'internal' && !(error instanceof AppError))
      deps.log.error({ err: error, requestId: exchange.requestId }, 'unexpected failure outside of any handler');
    exchange.fail(code === 'invalid-encoding' ? new AppError(code, { detail: 'The address is not valid percent-encoded UTF-8.' }) : error);
  };
}

function statusOf(error: unknown): unknown {
  return error instanceof Error ? (error as { status?: unknown }).status : undefined;
}

// Fixed paths come before those with parameters, so that `/v1/flows/batch` is not taken for a flow of that id.
function byPath(routes: readonly Route[]): Map<string, Route[]> {
  const paths = new Map<string, Route[]>();
  const ordered = [...routes.filter((route) => !route.path.includes('{')), ...routes.filter((route) => route.path.includes('{'))];
  for (const route of ordered) paths.set(route.path, [...(paths.get(route.path) ?? []), route]);
  return paths;
}

/** `/v1/flows/{id}` as Express writes it: `/v1/flows/:id`. */
export function expressPath(path: string): string {
  return path.replaceAll(/\{([A-Za-z]+)\}/g, ':$1');
}
