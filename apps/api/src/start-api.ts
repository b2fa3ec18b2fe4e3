// The composition root of the API: opens the connections, puts the parts together, starts them in order and stops them in reverse.
// Servers that are away at the start are waited for while /health/ready says so.
import path from 'node:path';
import { spoolLimits } from '@millrace/imports';
import { loadFlows } from '@millrace/flows';
import { ConfigFault, startAll, stopAll, systemClock, type Config, type ProcessFrame, type RunningProcess } from '@millrace/process';
import { createJobDispatcher } from '@millrace/queue';
import {
  beginConnecting,
  createCommandConnection,
  createKeys,
  createRequestCounter,
  createSubscriberConnection,
  createSubscriptions,
  createUpdatePublisher,
  isReady,
  readProgress,
} from '@millrace/redis';
import { createFlowPlanner, type FlowRegistry } from '@millrace/sdk';
import { createLocalStorage } from '@millrace/storage';
import { createDatabase, readInstance, readMigrations, readWeights, schemaVersion, waitForSchema, type Database } from '@millrace/store';
import { authenticatorOf, buildApp } from './build-app.ts';
import { createFlowDispatch } from './dispatch/flow-dispatch.ts';
import { createReadiness } from './health/readiness.ts';
import { createHttpServer } from './http/http-server.ts';
import { createHttpService } from './http/http-service.ts';
import { createInstanceLoader } from './http/load-instance.ts';
import { createRequestLimiter } from './limits/request-limiter.ts';
import { createApiMetrics } from './metrics/api-metrics.ts';
import { createStreamHub, type StreamHub } from './streams/stream-hub.ts';
import { createStreamMetrics } from './streams/stream-metrics.ts';

const NAME = 'api';
/** An upload that sends nothing for this long is cut. */
const UPLOAD_IDLE_MS = 30_000;

export async function startApi(frame: ProcessFrame): Promise<RunningProcess> {
  const { config, log } = frame;
  const parts = await createParts(frame);
  const { database, redis, dispatcher, dispatch, hub, intake, readiness } = parts;
  const http = createHttpService({ server: createHttpServer({ listener: parts.app, log }), host: config.host, port: config.port, log });
  // Streams end before the server, which waits for its requests; what those accepted is written and dispatched after them.
  const services = [dispatch, http, hub];
  redis.connect();
  await startAll(services).catch((error: unknown) => {
    log.fatal({ reason: innermostMessage(error) }, 'the API could not start');
    process.exit(1);
  });
  // Nothing here needs to wait for it, but whoever reads the log should learn why nothing works yet.
  const stopping = new AbortController();
  waitForSchema({ database, log, signal: stopping.signal }).catch((error: unknown) => {
    if (!stopping.signal.aborted) log.error({ err: error }, 'the schema could not be looked at');
  });
  return {
    stop: async () => {
      stopping.abort();
      readiness.beginStopping();
      await stopAll(services.slice(1), { deadlineMs: config.stopTimeoutMs, log });
      await intake.drain();
      await stopAll(services.slice(0, 1), { deadlineMs: 2_000, log });
      await Promise.allSettled([dispatcher.close(), database.close()]);
      redis.disconnect();
    },
  };
}

async function createParts({ config, log }: ProcessFrame) {
  const clock = systemClock;
  const registry = await loadRegistry(config);
  const onError = (error: Error) => {
    log.warn({ reason: error.message }, 'idle database connection failed');
  };
  const database = createDatabase({ url: config.databaseUrl, name: NAME, onError });
  const redis = openRedis({ config, log });
  const dispatcher = createJobDispatcher({ url: config.redisUrl, name: `${NAME}-queue`, log, prefix: redis.keys.queuePrefix() });
  const dispatch = createFlowDispatch({
    dispatcher,
    windowMax: config.dispatchWindow,
    publish: redis.updates.publishControl,
    readWeights: () => readWeights(database.main),
    log,
  });
  const instance = createInstanceLoader({ read: () => readInstance(database.main), clock });
  const authenticator = authenticatorOf({ database, adminKey: config.adminKey, clock });
  const needed = readMigrations().then((migrations) => migrations.length);
  const readiness = createReadiness({
    schemaVersion: () => schemaVersion(database.main),
    schemaVersionNeeded: () => needed,
    isRedisReady: () => isReady(redis.commands),
  });
  const limiter = createRequestLimiter({ counter: redis.requestCounter, isRedisReady: redis.access.isReady, clock, log });
  const metrics = createApiMetrics({
    pools: () => poolCounts(database),
    dispatchFailures: dispatch.failureCount,
    uncountedRequests: limiter.uncounted,
  });
  const observer = createStreamMetrics({ registers: [metrics.registry], counts: () => hub.counts() });
  const epoch = async () => (await instance()).epoch;
  const streams = { subscriptions: redis.subscriptions, keys: redis.keys, database, epoch, isStillAllowed: authenticator.isStillValid };
  const hub: StreamHub = createStreamHub({ ...streams, log, clock, observer });
  const storage = createLocalStorage({ folder: path.resolve(config.home, 'uploads') });
  const servers = { database, redis: redis.access, updates: redis.updates, dispatcher, dispatch, storage };
  const { app, intake } = buildApp({
    ...servers,
    planner: createFlowPlanner(registry),
    uploadLimits: spoolLimits(config),
    uploadIdleMs: UPLOAD_IDLE_MS,
    hub,
    authenticator,
    limiter,
    instance,
    readiness,
    metrics,
    clock,
    log,
  });
  return { app, intake, database, redis, dispatcher, dispatch, hub, readiness };
}

async function loadRegistry({ flowFolders, selftest }: Config): Promise<FlowRegistry> {
  try {
    return await loadFlows({ folders: flowFolders, selftest });
  } catch (error) {
    throw new ConfigFault(`MILLRACE_FLOWS: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function openRedis({ config, log }: ProcessFrame) {
  const commands = createCommandConnection({ url: config.redisUrl, name: `${NAME}-commands`, log });
  const subscriber = createSubscriberConnection({ url: config.redisUrl, name: `${NAME}-subscriber`, log });
  const keys = createKeys(config.redisPrefix);
  return {
    keys,
    commands,
    updates: createUpdatePublisher({ client: commands, keys }),
    requestCounter: createRequestCounter(commands),
    subscriptions: createSubscriptions(subscriber),
    access: {
      keys,
      isReady: () => isReady(commands),
      ping: async () => {
        await commands.ping();
      },
      readHash: (key: string) => readProgress(commands, key),
    },
    connect: () => {
      beginConnecting(commands);
      beginConnecting(subscriber);
    },
    disconnect: () => {
      commands.disconnect();
      subscriber.disconnect();
    },
  };
}

/** What really went wrong, below the layers that passed it on. */
function innermostMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && !error.message.includes('in use') ? innermostMessage(error.cause) : error.message;
}

function poolCounts(database: Database) {
  return Object.fromEntries(
    (['main', 'hot', 'long'] as const).map((name) => [
      name,
      { total: database[name].totalCount, idle: database[name].idleCount, waiting: database[name].waitingCount },
    ]),
  );
}
