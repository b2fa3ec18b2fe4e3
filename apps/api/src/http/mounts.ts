// Applications of others, such as Bull Board, which are written for Express: they are asked for every path that none of our routes has.
import { AppError } from '@millrace/shared';
import type { Logger } from '@millrace/process';
import express, { type ErrorRequestHandler, type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import type { Exchange } from './exchange.ts';

/** Each has its own gate: path -> handler. */
export type Mount = { path: string; handler: RequestHandler };

type Locals = { exchange: Exchange };

/** Answers an exchange by the mount that its path lies below, or with not-found. */
export function createMounts(mounts: readonly Mount[], log: Logger): (exchange: Exchange) => void {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('case sensitive routing');
  app.enable('strict routing');
  app.set('query parser', false);
  for (const mount of mounts) app.use(mount.path, mount.handler);
  app.use((_request: Request, response: Response<unknown, Locals>) => {
    exchangeOf(response).fail(new AppError('not-found'));
  });
  app.use(errorLayer(log));
  return (exchange) => {
    const { req, res } = exchange.raw();
    (res as typeof res & { locals: Locals }).locals = { exchange };
    app(req, res);
  };
}

/** The exchange that a mounted application answers. */
export function exchangeOf(response: Response): Exchange {
  return (response as Response<unknown, Locals>).locals.exchange;
}

function errorLayer(log: Logger): ErrorRequestHandler {
  // oxlint-disable-next-line eslint/max-params -- Express knows an error layer by its four parameters.
  return (error: unknown, _request: Request, response: Response, _next: NextFunction) => {
    const exchange = exchangeOf(response);
    if (error instanceof URIError || statusOf(error) === 400) {
      exchange.fail(new AppError('invalid-encoding', { detail: 'The address is not valid percent-encoded UTF-8.' }));
      return;
    }
    if (!(error instanceof AppError)) log.error({ err: error, requestId: exchange.requestId }, 'unexpected failure outside of any handler');
    exchange.fail(error);
  };
}

function statusOf(error: unknown): unknown {
  return error instanceof Error ? (error as { status?: unknown }).status : undefined;
}
