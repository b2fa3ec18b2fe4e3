// Connections to Redis. Two kinds: commands fail fast when Redis is away, subscriptions wait and come back by themselves.
import type { Logger } from '@millrace/process';
import { Redis } from 'ioredis';

export type RedisClient = Redis;

const CONNECT_TIMEOUT_MS = 2_000;
const COMMAND_TIMEOUT_MS = 2_000;
const RECONNECT_MS_MAX = 1_000;
/** While Redis is away one line is logged per this time and connection, however often it is tried. */
const OUTAGE_LOG_EVERY_MS = 10_000;

export type ConnectionOptions = { url: string; name: string; log: Logger };

/** For commands: an answer within 2 s or an error; nothing is queued while the connection is down. */
export function createCommandConnection(options: ConnectionOptions): RedisClient {
  return connect(options, { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: COMMAND_TIMEOUT_MS });
}

/** For subscriptions: resubscribes after every reconnect. */
export function createSubscriberConnection(options: ConnectionOptions): RedisClient {
  return connect(options, { enableOfflineQueue: true, maxRetriesPerRequest: null, autoResubscribe: true });
}

type FailurePolicy = {
  enableOfflineQueue: boolean;
  maxRetriesPerRequest: number | null;
  commandTimeout?: number;
  autoResubscribe?: boolean;
};

function connect(options: ConnectionOptions, policy: FailurePolicy): RedisClient {
  const client = new Redis(options.url, {
    ...policy,
    lazyConnect: true,
    connectionName: options.name,
    connectTimeout: CONNECT_TIMEOUT_MS,
    keepAlive: 5_000,
    // A demoted master answers READONLY: reconnect, then send the command again.
    reconnectOnError: (error: Error) => (error.message.startsWith('READONLY') ? (2 as const) : false),
    retryStrategy: (tries: number) => Math.min(RECONNECT_MS_MAX, 50 * 2 ** Math.min(tries, 5)),
  });
  let loggedAt = Number.NEGATIVE_INFINITY;
  client.on('error', (error) => {
    if (performance.now() - loggedAt < OUTAGE_LOG_EVERY_MS) return;
    loggedAt = performance.now();
    options.log.warn({ connection: options.name, reason: error.message }, 'redis connection failed, trying again');
  });
  return client;
}

/** Begins connecting without waiting for success: a process that starts while Redis is away must start all the same. */
export function beginConnecting(client: RedisClient): void {
  client.connect().catch(() => {
    // The 'error' listener has reported it, and the retry strategy goes on.
  });
}

export function isReady(client: RedisClient): boolean {
  return client.status === 'ready';
}
