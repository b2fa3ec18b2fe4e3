// What the process of one attempt talks to: few connections, opened when they are needed.
import type { Config, Logger } from '@millrace/process';
import { beginConnecting, createCommandConnection, createKeys, createLocks, createUpdatePublisher, isReady } from '@millrace/redis';
import { createLocalStorage } from '@millrace/storage';
import { createDatabase } from '@millrace/store';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createEventPublisher } from '../engine/event-publisher.ts';

const POOL_MAX = { main: 3, hot: 1, long: 1 };
/** Commands fail while there is no connection; with Redis away the handler runs all the same. */
const REDIS_WAIT_MS = 1_000;
const DRAIN_MS = 1_000;

export type ChildConnections = ReturnType<typeof createChildConnections>;

export function createChildConnections({ config, log }: { config: Config; log: Logger }) {
  const database = createDatabase({
    url: config.databaseUrl,
    name: 'isolated phase',
    poolMax: POOL_MAX,
    onError: (error) => {
      log.warn({ reason: error.message }, 'an idle database connection failed');
    },
  });
  const commands = createCommandConnection({ url: config.redisUrl, name: 'worker-isolated', log });
  const keys = createKeys(config.redisPrefix);
  const updates = createUpdatePublisher({ client: commands, keys });
  const publisher = createEventPublisher({ updates, log });
  return {
    database,
    keys,
    updates,
    publisher,
    locks: createLocks(commands),
    storage: createLocalStorage({ folder: path.resolve(config.home, 'uploads') }),
    open: async () => {
      beginConnecting(commands);
      if (!isReady(commands)) await Promise.race([once(commands, 'ready'), delay(REDIS_WAIT_MS)]).catch(() => undefined);
    },
    close: async () => {
      await Promise.race([publisher.drain(), delay(DRAIN_MS)]);
      commands.disconnect();
      await database.close();
    },
  };
}
