// Asks again and again whether the keys of open streams may still read, once per key however many streams it has.
import { createLoop, type Logger, type Loop } from '@millrace/process';
import type { Principal } from '@millrace/shared';
import { STREAM_LIMITS } from '../stream-limits.ts';
import type { StreamClient } from './stream-client.ts';

type AuthorizerOptions = {
  /** Open streams by key. */
  byKey: ReadonlyMap<string, ReadonlySet<StreamClient>>;
  /** False when the key was revoked, has expired or lost its role. A rejection means "not known now" and ends nothing. */
  isStillAllowed(principal: Principal): Promise<boolean>;
  /** Ends one stream. */
  expel(client: StreamClient): void;
  log: Logger;
};

export function createStreamAuthorizer(options: AuthorizerOptions): Loop {
  return createLoop({
    name: 'stream-authorizer',
    intervalMs: STREAM_LIMITS.authorizeEveryMs,
    log: options.log,
    runOnce: async (signal) => {
      const groups = [...options.byKey.values()];
      for (let from = 0; from < groups.length && !signal.aborted; from += STREAM_LIMITS.authorizationsAtOnce) {
        await Promise.all(groups.slice(from, from + STREAM_LIMITS.authorizationsAtOnce).map((clients) => check(options, clients)));
      }
      return 'idle';
    },
  });
}

async function check({ isStillAllowed, expel }: AuthorizerOptions, clients: ReadonlySet<StreamClient>): Promise<void> {
  const [any] = clients;
  if (any === undefined || (await isStillAllowed(any.principal))) return;
  for (const client of clients) expel(client);
}
