import { describe, expect, it } from '@jest/globals';
import { createLogger } from '@millrace/process';
import type { Principal } from '@millrace/shared';
import { createStreamAuthorizer } from './stream-authorizer.ts';
import type { StreamClient } from './stream-client.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const clientOf = (keyId: string) => ({ principal: { workspace: 'default', role: 'viewer', keyId } }) as StreamClient;

describe('createStreamAuthorizer', () => {
  it('asks once per key and ends every stream of a key that may no longer read', async () => {
    const good = new Set([clientOf('good'), clientOf('good')]);
    const revoked = new Set([clientOf('revoked'), clientOf('revoked')]);
    const asked: string[] = [];
    const expelled: StreamClient[] = [];
    const done = Promise.withResolvers<void>();
    const authorizer = createStreamAuthorizer({
      byKey: new Map([
        ['good', good],
        ['revoked', revoked],
      ]),
      isStillAllowed: ({ keyId }: Principal) => {
        asked.push(keyId);
        return Promise.resolve(keyId === 'good');
      },
      expel: (client) => {
        if (expelled.push(client) === 2) done.resolve();
      },
      log,
    });
    await authorizer.start();
    await done.promise;
    await authorizer.stop(1_000);
    expect(asked).toEqual(['good', 'revoked']);
    expect(expelled).toEqual([...revoked]);
  });

  it('ends nothing while it cannot know', async () => {
    const expelled: StreamClient[] = [];
    const asked = Promise.withResolvers<void>();
    const authorizer = createStreamAuthorizer({
      byKey: new Map([['key', new Set([clientOf('key')])]]),
      isStillAllowed: () => {
        asked.resolve();
        return Promise.reject(new Error('PostgreSQL is away'));
      },
      expel: (client) => expelled.push(client),
      log,
    });
    await authorizer.start();
    await asked.promise;
    await authorizer.stop(1_000);
    expect(expelled).toEqual([]);
  });
});
