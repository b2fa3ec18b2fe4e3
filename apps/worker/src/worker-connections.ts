// Everything a worker talks to, constructed but not connected.
import { hostname } from 'node:os';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { Config, Logger } from '@millrace/process';
import { createJobDispatcher, type JobDispatcher, type QueueConnectionOptions } from '@millrace/queue';
import {
  beginConnecting,
  createCommandConnection,
  createKeys,
  createLocks,
  createSubscriberConnection,
  createSubscriptions,
  createUpdatePublisher,
} from '@millrace/redis';
import type { Keys, Locks, Subscriptions, UpdatePublisher } from '@millrace/redis';
import { createLocalStorage, type UploadStorage } from '@millrace/storage';
import { createDatabase, type Database } from '@millrace/store';
import { createEventPublisher, type EventPublisher } from './engine/event-publisher.ts';

export type WorkerConnections = {
  /** Names this process in leases, locks, events and logs. */
  workerId: string;
  database: Database;
  storage: UploadStorage;
  keys: Keys;
  locks: Locks;
  updates: UpdatePublisher;
  publisher: EventPublisher;
  subscriptions: Subscriptions;
  dispatcher: JobDispatcher;
  queue: QueueConnectionOptions & { prefix: string };
  open(): void;
  close(): Promise<void>;
};

export function createWorkerConnections({ config, log }: { config: Config; log: Logger }): WorkerConnections {
  const workerId = `${hostname()}:${process.pid}:${randomBytes(3).toString('hex')}`;
  const database = createDatabase({
    url: config.databaseUrl,
    name: `worker ${workerId}`,
    onError: (error) => {
      log.warn({ reason: error.message }, 'an idle database connection failed');
    },
  });
  const commands = createCommandConnection({ url: config.redisUrl, name: 'worker-commands', log });
  const subscriber = createSubscriberConnection({ url: config.redisUrl, name: 'worker-subscriber', log });
  const keys = createKeys(config.redisPrefix);
  const updates = createUpdatePublisher({ client: commands, keys });
  const publisher = createEventPublisher({ updates, log });
  const queue = { url: config.redisUrl, name: 'worker-queue', log, prefix: keys.queuePrefix() };
  const dispatcher = createJobDispatcher(queue);
  return {
    workerId,
    database,
    keys,
    updates,
    publisher,
    queue,
    dispatcher,
    storage: createLocalStorage({ folder: path.resolve(config.home, 'uploads') }),
    locks: createLocks(commands),
    subscriptions: createSubscriptions(subscriber),
    open: () => {
      beginConnecting(commands);
      beginConnecting(subscriber);
    },
    close: async () => {
      await publisher.drain();
      await dispatcher.close();
      commands.disconnect();
      subscriber.disconnect();
      await database.close();
    },
  };
}
