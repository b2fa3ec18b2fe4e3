// The API in this process, as start-api.ts puts it together, on servers of the test run: for tests that look at answers, not at processes.
import { systemClock, createLogger, stopAll, type Clock } from '@millrace/process';
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
  type RedisClient,
} from '@millrace/redis';
import { createLocalStorage } from '@millrace/storage';
import { createFlowPlanner, createFlowRegistry, defineFlow, type FlowDefinition } from '@millrace/sdk';
import { createDatabase, createKey, readInstance, readMigrations, readWeights, schemaVersion, type Database } from '@millrace/store';
import { createTestDatabase } from '@millrace/testing';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { formatApiKey, newSecret } from '../auth/api-key.ts';
import { authenticatorOf, buildApp } from '../build-app.ts';
import { createFlowDispatch } from '../dispatch/flow-dispatch.ts';
import { createReadiness } from '../health/readiness.ts';
import { createHttpServer } from '../http/http-server.ts';
import { createHttpService } from '../http/http-service.ts';
import { createInstanceLoader } from '../http/load-instance.ts';
import type { Route } from '../http/route.ts';
import { createRequestLimiter } from '../limits/request-limiter.ts';
import { createApiMetrics } from '../metrics/api-metrics.ts';
import { createStreamHub } from '../streams/stream-hub.ts';

export const TEST_ADMIN_KEY = 'mr_test_admin_key_0123456789abcdef';

type NewTestKey = { workspace: string; role: 'viewer' | 'operator' | 'admin'; requestsPerMinute?: number };

export type TestApi = {
  readonly port: number;
  readonly baseUrl: string;
  readonly database: Database;
  readonly redis: RedisClient;
  readonly redisPrefix: string;
  readonly routes: readonly Route[];
  /** A key that is in force. `requestsPerMinute`: 0 for no limit; absent for the default. */
  newKey(key: NewTestKey): Promise<string>;
  /** Jobs waiting in the flow-phase queue. */
  waitingCount(): Promise<number>;
  stop(): Promise<void>;
};

const flow = (name: string, input: z.ZodType, phases: FlowDefinition['phases']) => defineFlow({ name, version: 3, input, phases });
const run = () => null;

/** The definitions that test requests may name. */
export const TEST_FLOWS: readonly FlowDefinition[] = [
  flow('test.one', z.object({}), { only: { run } }),
  flow('test.chain', z.object({}), { first: { run }, second: { needs: ['first'], run } }),
  flow('test.strict', z.strictObject({ account: z.string().min(1), lines: z.array(z.object({ count: z.int() })).optional() }), {
    only: { run },
  }),
  flow('test.cycle', z.object({}), { a: { needs: ['b'], run }, b: { needs: ['a'], run } }),
  flow('test.empty', z.object({}), () => ({})),
];

export type TestApiOptions = {
  /** Servers to pretend are away: their addresses lead nowhere. */
  outage?: readonly ('postgres' | 'redis')[];
  /** Another Redis than that of the test run. */
  redisUrl?: string;
  clock?: Clock;
};

export async function startTestApi({ outage = [], redisUrl, clock = systemClock }: TestApiOptions = {}): Promise<TestApi> {
  const log = createLogger({ name: 'test-api', level: 'silent' });
  const testDatabase = await createTestDatabase();
  const database = outage.includes('postgres')
    ? createDatabase({ url: 'postgres://nobody@127.0.0.1:1/nothing', name: 'test-api', onError: () => undefined })
    : testDatabase.database;
  const url = outage.includes('redis') ? 'redis://127.0.0.1:1' : (redisUrl ?? required('REDIS_URL'));
  const redisPrefix = `{test-${randomBytes(6).toString('hex')}}`;
  const keys = createKeys(redisPrefix);
  const commands = createCommandConnection({ url, name: 'test-commands', log });
  const subscriber = createSubscriberConnection({ url, name: 'test-subscriber', log });
  const dispatcher = createJobDispatcher({ url, name: 'test-queue', log, prefix: keys.queuePrefix() });
  const dispatch = createFlowDispatch({
    dispatcher,
    windowMax: 2_000,
    publish: (message) => createUpdatePublisher({ client: commands, keys }).publishControl(message),
    readWeights: () => readWeights(database.main),
    log,
  });
  const instance = createInstanceLoader({ read: () => readInstance(database.main), clock });
  const authenticator = authenticatorOf({ database, adminKey: TEST_ADMIN_KEY, clock });
  const readiness = createReadiness({
    schemaVersion: () => schemaVersion(database.main),
    schemaVersionNeeded: async () => (await readMigrations()).length,
    isRedisReady: () => isReady(commands),
  });
  const hub = createStreamHub({
    subscriptions: createSubscriptions(subscriber),
    keys,
    database,
    epoch: async () => (await instance()).epoch,
    isStillAllowed: authenticator.isStillValid,
    log,
  });
  const isRedisReady = () => isReady(commands);
  const limiter = createRequestLimiter({ counter: createRequestCounter(commands), isRedisReady, clock, log });
  const folder = await mkdtemp(path.join(tmpdir(), 'millrace-api-test-'));
  const { app, routes, intake } = buildApp({
    database,
    updates: createUpdatePublisher({ client: commands, keys }),
    dispatcher,
    dispatch,
    planner: createFlowPlanner(createFlowRegistry(TEST_FLOWS)),
    hub,
    authenticator,
    limiter,
    instance,
    readiness,
    log,
    clock,
    redis: {
      keys,
      isReady: isRedisReady,
      ping: async () => {
        await commands.ping();
      },
      readHash: (key) => readProgress(commands, key),
    },
    storage: createLocalStorage({ folder }),
    uploadLimits: { uploadBytesMax: 1024 ** 3, unpackedBytesMax: 1024 ** 3, recordBytesMax: 1024 ** 2 },
    uploadIdleMs: 5_000,
    metrics: createApiMetrics({ pools: () => ({}), dispatchFailures: dispatch.failureCount, uncountedRequests: limiter.uncounted }),
  });
  const http = createHttpService({ server: createHttpServer({ listener: app, log }), host: '127.0.0.1', port: 0, log });
  const services = [dispatch, http, hub];
  if (!outage.includes('redis')) await Promise.all([commands.connect(), subscriber.connect()]);
  else for (const client of [commands, subscriber]) beginConnecting(client);
  for (const service of services) await service.start();
  return {
    port: http.port(),
    baseUrl: `http://127.0.0.1:${http.port()}`,
    database,
    redis: commands,
    redisPrefix,
    routes,
    newKey: (key) => newKey(testDatabase.database, key),
    waitingCount: () => dispatcher.waitingCount('flow-phase'),
    stop: async () => {
      await stopAll(services, { deadlineMs: 5_000, log });
      await intake.drain();
      await dispatcher.close();
      for (const client of [commands, subscriber]) client.disconnect();
      if (database !== testDatabase.database) await database.close();
      await testDatabase.drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function newKey(database: Database, { workspace, role, requestsPerMinute }: NewTestKey): Promise<string> {
  const { secret, secretHash } = newSecret();
  const stored = await createKey(database, {
    workspace,
    name: `test ${role}`,
    role,
    secretHash,
    requestsPerMinute: requestsPerMinute ?? null,
    expiresAt: null,
  });
  return formatApiKey({ id: stored.id, secret });
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run the tests with "npm test"`);
  return value;
}
