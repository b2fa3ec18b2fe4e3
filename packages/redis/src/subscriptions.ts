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
  const channels = new Map<string, { listeners: Set<(message: string) => void>; inForce: Promise<unknown> }>();
  client.on('message', (channel: string, message: string) => {
    for (const listener of channels.get(channel)?.listeners ?? []) listener(message);
  });
  const subscribe = (channel: string): Promise<unknown> => {
    const subscribed = client.subscribe(channel);
    if (isReady(client)) return subscribed;
    // Away: ioredis subscribes by itself once it is back, and the reconnect callback fills what was missed.
    subscribed.catch(() => undefined);
    return Promise.resolve();
  };
  return {
    add: async (channel, listener) => {
      const known = channels.get(channel) ?? { listeners: new Set(), inForce: subscribe(channel) };
      channels.set(channel, known);
      known.listeners.add(listener);
      await known.inForce;
    },
    remove: (channel, listener) => {
      const known = channels.get(channel);
      if (known?.listeners.delete(listener) !== true || known.listeners.size > 0) return;
      channels.delete(channel);
      client.unsubscribe(channel).catch(() => undefined);
    },
    onReconnect: (listener) => {
      client.on('ready', () => {
        // ioredis subscribes again right after it is ready; the answer to what is sent behind that comes when it is in force.
        client.ping().then(listener, () => undefined);
      });
    },
    isLive: () => isReady(client),
  };
}
