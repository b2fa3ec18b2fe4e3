// One subscriber connection per process, shared by all who listen; a channel is subscribed while at least one listener is there.
import { isReady, type RedisClient } from './connection.ts';

export type Subscriptions = {
  /** Calls `listener` for each message. Settles when the subscription is in force, so that what is published after is heard. */
  add(channel: string, listener: (message: string) => void): Promise<void>;
  remove(channel: string, listener: (message: string) => void): void;
  /** Called whenever the connection is back: messages may have been missed. */
  onReconnect(callback: () => void): void;
  /** False while nothing can be heard. */
  isLive(): boolean;
};

export function createSubscriptions(client: RedisClient): Subscriptions {
  const listeners = new Map<string, Set<(message: string) => void>>();
  client.on('message', (channel: string, message: string) => {
    for (const listener of listeners.get(channel) ?? []) listener(message);
  });
  return {
    add: async (channel, listener) => {
      const existing = listeners.get(channel);
      if (existing !== undefined) {
        existing.add(listener);
        return;
      }
      listeners.set(channel, new Set([listener]));
      // Away: ioredis subscribes by itself once it is back, and the reconnect callback fills what was missed.
      const subscribed = client.subscribe(channel);
      if (isReady(client)) await subscribed;
      else subscribed.catch(() => undefined);
    },
    remove: (channel, listener) => {
      const existing = listeners.get(channel);
      if (existing?.delete(listener) !== true || existing.size > 0) return;
      listeners.delete(channel);
      client.unsubscribe(channel).catch(() => undefined);
    },
    onReconnect: (callback) => {
      client.on('ready', callback);
    },
    isLive: () => isReady(client),
  };
}
