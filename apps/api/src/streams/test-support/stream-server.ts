// One API instance for tests of streams: its own Redis connection, hub and HTTP server on a free port, and the event routes on a bare Express app.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLogger } from '@millrace/process';
import { beginConnecting, createSubscriberConnection, createSubscriptions } from '@millrace/redis';
import { AppError, ERROR_TABLE, isTerminalFlow, newId, type Principal } from '@millrace/shared';
import { readFlowHead, readInstance, type Database } from '@millrace/store';
import express, { type Request, type Response } from 'express';
import { createCursors } from '../../http/input/cursors.ts';
import { parseQuery } from '../../http/input/parse-query.ts';
import type { ApiRequest, Route } from '../../http/route.ts';
import { eventRoutes } from '../../routes/event-routes.ts';
import type { StreamHubDeps } from '../hub-state.ts';
import { createStreamHub, type StreamHub } from '../stream-hub.ts';
import { TEST_KEYS } from './event-writer.ts';

export type StreamServer = {
  readonly port: number;
  readonly hub: StreamHub;
  /** The name of its Redis connection, as CLIENT LIST shows it. */
  readonly subscriberName: string;
  url(flowId: string, query?: string): string;
  stop(): Promise<void>;
};

export type StreamServerOptions = Partial<Pick<StreamHubDeps, 'isStillAllowed' | 'observer' | 'streamsPerKeyMax' | 'clock'>> & {
  database: Database;
  redisUrl?: string;
};

export function redisUrl(): string {
  const url = process.env['REDIS_URL'];
  if (url === undefined) throw new Error('REDIS_URL must name a Redis server for tests');
  return url;
}

export async function startStreamServer(options: StreamServerOptions): Promise<StreamServer> {
  const { database, redisUrl: url = redisUrl(), ...hubOptions } = options;
  const log = createLogger({ name: 'test', level: 'silent' });
  const subscriberName = `streams-${newId()}`;
  const subscriber = createSubscriberConnection({ url, name: subscriberName, log });
  const subscriptions = createSubscriptions(subscriber);
  const hub = createStreamHub({
    subscriptions,
    keys: TEST_KEYS,
    database,
    epoch: async () => (await readInstance(database.main)).epoch,
    isStillAllowed: () => Promise.resolve(true),
    log,
    ...hubOptions,
  });
  beginConnecting(subscriber);
  const server = createServer(appOf(hub, database));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await hub.start();
  const { port } = server.address() as AddressInfo;
  return {
    port,
    hub,
    subscriberName,
    url: (flowId, query = '') => `http://127.0.0.1:${port}/v1/flows/${flowId}/events${query}`,
    stop: async () => {
      await hub.stop(2_000);
      await closeServer(server);
      subscriber.disconnect();
    },
  };
}

function appOf(hub: StreamHub, database: Database): express.Express {
  const app = express();
  const cursors = createCursors({ secret: async () => (await readInstance(database.main)).cursorSecret });
  const routes = eventRoutes({
    hub,
    database,
    cursors,
    readHead: async (kind, flowId, workspace) => {
      const head = kind === 'flow' ? await readFlowHead(database.main, { flowId, workspace }) : undefined;
      return head === undefined ? undefined : { ...head, ended: isTerminalFlow(head.status) };
    },
  });
  for (const route of routes) {
    app.get(route.path.replace('{id}', ':id'), (request, response) => answer(route, request, response));
  }
  return app;
}

// As much of the real server as these routes need: the caller comes from headers, errors keep their status and code.
async function answer(route: Route, req: Request, res: Response): Promise<void> {
  const principal: Principal = {
    workspace: req.get('x-workspace') ?? 'default',
    role: 'viewer',
    keyId: req.get('x-key') ?? 'key',
    requestsPerMinute: 0,
  };
  try {
    const query = parseQuery(req.url, route);
    const request: ApiRequest = {
      requestId: '',
      params: req.params as Record<string, string>,
      query,
      body: undefined,
      headers: req.headers,
      isAbandoned: () => res.closed,
      signal: () => new AbortController().signal,
      raw: () => ({ req, res }),
      principal,
    };
    const reply = await route.handler(request);
    if (reply !== undefined) res.status(reply.status).json(reply.body);
  } catch (error) {
    const code = error instanceof AppError ? error.code : 'internal';
    if (!res.headersSent) res.status(ERROR_TABLE[code].status).json({ code, detail: error instanceof Error ? error.message : '' });
  }
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => {
      resolve();
    });
    server.closeIdleConnections();
  });
}
