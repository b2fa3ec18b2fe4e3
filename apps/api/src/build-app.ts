// Puts the application together from its parts. Opens nothing and starts nothing.
import type { Clock } from '@millrace/process';

import { createDedupedFlows, createFlows, findKey, type Database } from '@millrace/store';
import type { RequestListener } from 'node:http';
import { createAuthenticator, type Authenticator } from './auth/authenticator.ts';
import { BOARD_PATH, createQueueBoard } from './board/queue-board.ts';
import { createAnnouncer } from './flows/flow-actions.ts';
import { createFlowIntake, type FlowIntake } from './flows/flow-intake.ts';
import { createApp } from './http/create-app.ts';
import type { Route } from './http/route.ts';
import { createAdmitRequest } from './limits/admit-request.ts';
import { allRoutes } from './all-routes.ts';
import type { BuildAppDeps } from './app-deps.ts';

export type BuiltApp = {
  app: RequestListener;
  routes: readonly Route[];
  intake: FlowIntake;
};

/** Keys from the database, and MILLRACE_ADMIN_KEY. */
export function authenticatorOf({
  database,
  adminKey,
  clock,
}: {
  database: Database;
  adminKey: string | undefined;
  clock: Clock;
}): Authenticator {
  return createAuthenticator({ findKey: (id) => findKey(database.main, id), adminKey, clock });
}

export function buildApp(deps: BuildAppDeps): BuiltApp {
  const { database, metrics, log } = deps;
  const intake = createFlowIntake({
    createFlows: (flows) => createFlows(database.hot, flows),
    createDedupedFlows: (flows) => createDedupedFlows(database, flows),
    announce: createAnnouncer(deps),
    dispatch: deps.dispatch,
    metrics,
  });
  const routes = allRoutes(deps, intake);
  const app = createApp({
    routes,
    mounts: [{ path: BOARD_PATH, handler: createQueueBoard(deps) }],
    authenticator: deps.authenticator,
    admit: createAdmitRequest({ limiter: deps.limiter, keys: deps.redis.keys }),
    log,
    onDone: (exchange) => {
      metrics.requestDone(exchange);
    },
  });
  return { app, routes, intake };
}
