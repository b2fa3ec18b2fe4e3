// Connections for BullMQ, which has needs of its own: producers fail fast, consumers wait for ever.
import { Redis } from 'ioredis';
import type { Logger } from '@millrace/process';

const COMMAND_TIMEOUT_MS = 5_000;
const RECONNECT_MS_MAX = 1_000;
const OUTAGE_LOG_EVERY_MS = 10_000;

export type QueueConnectionOptions = { url: string; name: string; log: Logger };

/** For adding and inspecting jobs: errors at once while Redis is away. */
export function createProducerConnection(options: QueueConnectionOptions): Redis {
  return guarded(
    options,
    new Redis(options.url, { ...common(options), enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: COMMAND_TIMEOUT_MS }),
  );
}

export type ConsumerConnection = {
  client: Redis;
  /** Ends it and every copy that was made of it, whatever state they are in. */ disconnect(): void;
};

/** For a worker, which makes a copy of it to block on. No command time-out for that reason; keep-alive finds dead peers. */
export function createConsumerConnection(options: QueueConnectionOptions): ConsumerConnection {
  const client = guarded(options, new Redis(options.url, { ...common(options), maxRetriesPerRequest: null }));
  const copies: Redis[] = [];
  const duplicate = client.duplicate.bind(client);
  // BullMQ leaves its copy behind, trying to connect for ever, when it is closed while Redis is away.
  client.duplicate = (override) => {
    const copy = duplicate(override);
    copies.push(copy);
    return copy;
  };
  return {
    client,
    disconnect: () => {
      for (const each of [client, ...copies]) each.disconnect();
    },
  };
}

function common(options: QueueConnectionOptions) {
  return {
    connectionName: options.name,
    connectTimeout: 2_000,
    keepAlive: 5_000,
    reconnectOnError: (error: Error) => (error.message.startsWith('READONLY') ? (2 as const) : false),
    retryStrategy: (tries: number) => Math.min(RECONNECT_MS_MAX, 50 * 2 ** Math.min(tries, 5)),
  };
}

function guarded(options: QueueConnectionOptions, client: Redis): Redis {
  let loggedAt = Number.NEGATIVE_INFINITY;
  client.on('error', (error) => {
    if (performance.now() - loggedAt < OUTAGE_LOG_EVERY_MS) return;
    loggedAt = performance.now();
    options.log.warn({ connection: options.name, reason: error.message }, 'queue connection failed, trying again');
  });
  return client;
}
