// Who has a stream open: all clients, and by key. Keeps the limits.
import type { Principal } from '@millrace/shared';
import type { StreamClient } from './stream-client.ts';

export type StreamRegister = {
  readonly clients: ReadonlySet<StreamClient>;
  readonly byKey: ReadonlyMap<string, ReadonlySet<StreamClient>>;
  /** True when this key may open one more stream here. */
  hasRoomFor(principal: Principal): boolean;
  add(client: StreamClient): void;
  remove(client: StreamClient): void;
  /** Settles as soon as no stream is open. */
  whenEmpty(): Promise<void>;
};

export function createStreamRegister({
  streamsMax,
  streamsPerKeyMax,
}: {
  streamsMax: number;
  streamsPerKeyMax(principal: Principal): number;
}): StreamRegister {
  const clients = new Set<StreamClient>();
  const byKey = new Map<string, Set<StreamClient>>();
  let waiting: (() => void)[] = [];
  return {
    clients,
    byKey,
    hasRoomFor: (principal) => clients.size < streamsMax && (byKey.get(nameOf(principal))?.size ?? 0) < streamsPerKeyMax(principal),
    add: (client) => {
      clients.add(client);
      const name = nameOf(client.principal);
      const ofKey = byKey.get(name);
      if (ofKey === undefined) byKey.set(name, new Set([client]));
      else ofKey.add(client);
    },
    remove: (client) => {
      const name = nameOf(client.principal);
      clients.delete(client);
      const ofKey = byKey.get(name);
      ofKey?.delete(client);
      if (ofKey?.size === 0) byKey.delete(name);
      if (clients.size > 0) return;
      for (const resolve of waiting) resolve();
      waiting = [];
    },
    whenEmpty: () =>
      new Promise((resolve) => {
        if (clients.size === 0) resolve();
        else waiting.push(resolve);
      }),
  };
}

function nameOf(principal: Principal): string {
  return `${principal.workspace} ${principal.keyId}`;
}
