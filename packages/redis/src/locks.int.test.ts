import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { createLogger } from '@millrace/process';
import { eventually } from '@millrace/testing';
import { beginConnecting, createCommandConnection, isReady, type RedisClient } from './connection.ts';
import { createKeys } from './keys.ts';
import { createLocks, type Locks } from './locks.ts';

const keys = createKeys(`{test-${process.pid}-locks}`);
const MINUTE_MS = 60_000;
let clients: RedisClient[];
let a: Locks;
let b: Locks;
/** A resource of each test's own. */
let key: string;

beforeAll(async () => {
  clients = [1, 2].map((n) =>
    createCommandConnection({
      url: process.env['REDIS_URL'] ?? '',
      name: `test-locks-${n}`,
      log: createLogger({ name: 'test', level: 'silent' }),
    }),
  );
  for (const client of clients) beginConnecting(client);
  await eventually(() => {
    expect(clients.every(isReady)).toBe(true);
  });
  const [first, second] = clients;
  if (first === undefined || second === undefined) throw new Error('no clients');
  [a, b] = [createLocks(first), createLocks(second)];
});

beforeEach(() => {
  key = keys.lock('default', randomUUID());
});

afterAll(async () => {
  const [client] = clients;
  const left = (await client?.keys(`${keys.lock('default', '')}*`)) ?? [];
  if (left.length > 0) await client?.del(...left);
  for (const one of clients) one.disconnect();
});

const ttl = (name = key) => clients[0]?.pttl(name);

describe('a lock', () => {
  it('is held by one token at a time, over connections', async () => {
    expect(await a.acquire([{ key, token: 'a' }], MINUTE_MS)).toEqual([true]);
    expect(await b.acquire([{ key, token: 'b' }], MINUTE_MS)).toEqual([false]);
    await a.release([{ key, token: 'a' }]);
    expect(await b.acquire([{ key, token: 'b' }], MINUTE_MS)).toEqual([true]);
  });

  it('goes to exactly one of many who try at the same time', async () => {
    const tries = await Promise.all(
      Array.from({ length: 50 }, (_, n) => (n % 2 === 0 ? a : b).acquire([{ key, token: `t${n}` }], MINUTE_MS)),
    );
    expect(tries.flat().filter(Boolean)).toHaveLength(1);
  });

  it('is given again to the token that holds it, with a new time to live', async () => {
    await a.acquire([{ key, token: 'a' }], 1_000);
    expect(await b.acquire([{ key, token: 'a' }], MINUTE_MS)).toEqual([true]);
    expect(await ttl()).toBeGreaterThan(50_000);
  });

  it('ends by itself after its time to live', async () => {
    await a.acquire([{ key, token: 'a' }], 30);
    await eventually(async () => {
      expect(await b.acquire([{ key, token: 'b' }], MINUTE_MS)).toEqual([true]);
    });
  });
});

describe('renewal', () => {
  it('extends what the token holds and says of the rest that it is not held', async () => {
    const other = `${key}-other`;
    await a.acquire([{ key, token: 'a' }], 1_000);
    await b.acquire([{ key: other, token: 'b' }], 1_000);
    expect(
      await a.renew(
        [
          { key, token: 'a' },
          { key: other, token: 'a' },
          { key: `${key}-none`, token: 'a' },
        ],
        MINUTE_MS,
      ),
    ).toEqual([true, false, false]);
    expect(await ttl()).toBeGreaterThan(50_000);
    expect(await ttl(other)).toBeLessThanOrEqual(1_000);
  });

  it('does not bring back a lock that has ended', async () => {
    expect(await a.renew([{ key, token: 'a' }], MINUTE_MS)).toEqual([false]);
    expect(await clients[0]?.exists(key)).toBe(0);
  });
});

describe('release', () => {
  it('leaves alone what another token holds by now', async () => {
    await b.acquire([{ key, token: 'b' }], MINUTE_MS);
    await a.release([{ key, token: 'a' }]);
    expect(await clients[0]?.get(key)).toBe('b');
  });
});

describe('many locks in one call', () => {
  it('are answered in their order', async () => {
    const requests = Array.from({ length: 500 }, (_, n) => ({ key: `${key}-${n}`, token: 'a' }));
    await b.acquire(
      requests.filter((_, n) => n % 3 === 0).map((request) => ({ ...request, token: 'b' })),
      MINUTE_MS,
    );
    const expected = requests.map((_, n) => n % 3 !== 0);
    expect(await a.acquire(requests, MINUTE_MS)).toEqual(expected);
    expect(await a.renew(requests, MINUTE_MS)).toEqual(expected);
    await a.release(requests);
    expect(await a.acquire(requests, MINUTE_MS)).toEqual(expected);
  });

  it('may be none', async () => {
    expect(await a.acquire([], MINUTE_MS)).toEqual([]);
    expect(await a.renew([], MINUTE_MS)).toEqual([]);
    await expect(a.release([])).resolves.toBeUndefined();
  });
});
