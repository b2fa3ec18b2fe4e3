import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { createLogger } from '@millrace/process';
import { createCommandConnection, type RedisClient } from './connection.ts';
import { createKeys } from './keys.ts';
import { createRequestCounter, type RequestCounter } from './request-counter.ts';

const keys = createKeys(`{test-${process.pid}-requests}`);
const log = createLogger({ name: 'test', level: 'silent' });
let clients: RedisClient[];
let client: RedisClient;
let counters: RequestCounter[];
let key: string;

beforeAll(async () => {
  clients = [1, 2].map((n) => createCommandConnection({ url: process.env['REDIS_URL'] ?? '', name: `test-requests-${n}`, log }));
  await Promise.all(clients.map((one) => one.connect()));
  counters = clients.map((one) => createRequestCounter(one));
  [client] = clients as [RedisClient];
});

beforeEach(() => {
  key = keys.keyRequests('default', randomUUID());
});

afterAll(async () => {
  const left = await client.keys(`${keys.keyRequests('default', '')}*`);
  if (left.length > 0) await client.del(...left);
  for (const one of clients) one.disconnect();
});

const count = async (max: number, asked: number, by = 0) => (await counters[by]?.count([{ key, max, asked }]))?.[0];
/** Redis's own clock, which the counts go by. */
const redisNowMs = async () => {
  const [seconds, microseconds] = await client.time();
  return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000);
};
/** As if all that was counted had been counted that much earlier. */
const age = async (byMs: number) => {
  const counted = Object.entries(await client.hgetall(key));
  await client.del(key);
  for (const [at, units] of counted) await client.hset(key, String(Number(at) - byMs), units);
};

describe('requests', () => {
  it.each([5, 500])('of %i a minute find room until there is none, over all connections', async (max) => {
    expect(await count(max, max - 2)).toMatchObject({ counted: max - 2, left: 2 });
    expect(await count(max, 3, 1)).toMatchObject({ counted: 2, left: 0 });
    expect(await count(max, 1)).toMatchObject({ counted: 0, left: 0 });
  });

  it.each([5, 500])('of %i a minute leave the window one after the other, and not a moment early', async (max) => {
    await count(max, max - 1);
    await age(40_000);
    await count(max, 1);
    await age(19_000);
    const refused = await count(max, 1);
    expect(refused).toMatchObject({ counted: 0, left: 0 });
    expect(refused?.freeInMs).toBeLessThanOrEqual(2_000);
    await age(2_000);
    expect(await count(max, max)).toMatchObject({ counted: max - 1, left: 0 });
  });

  it('that were refused are not counted', async () => {
    await count(2, 2);
    for (let n = 0; n < 5; n += 1) await count(2, 1);
    await age(60_000);
    expect(await count(2, 2)).toMatchObject({ counted: 2, left: 0 });
  });

  it('say when there is room again', async () => {
    expect((await count(1, 1))?.freeInMs).toBe(60_000);
    await age(10_000);
    const refused = await count(1, 1);
    expect(refused?.freeInMs).toBeGreaterThan(40_000);
    expect(refused?.freeInMs).toBeLessThanOrEqual(50_000);
  });

  it('take no more room than a field a second, and none a minute later', async () => {
    const nowMs = await redisNowMs();
    for (let second = 1; second < 60; second += 1) await client.hset(key, String(nowMs - second * 1_000), 1);
    for (let n = 0; n < 20; n += 1) await count(1_000, 1);
    expect(await client.hlen(key)).toBeLessThanOrEqual(62);
    expect(await client.pttl(key)).toBeLessThanOrEqual(61_000);
  });

  it('that were counted by a clock that was set back since are forgotten', async () => {
    await count(3, 3);
    await age(-3_600_000);
    expect(await count(3, 1)).toMatchObject({ counted: 1, left: 2 });
  });

  it('of many subjects are counted in one call', async () => {
    const subjects = Array.from({ length: 500 }, (_, n) => ({ key: `${key}-${n}`, max: 2, asked: (n % 3) + 1 }));
    const answers = await counters[0]?.count(subjects);
    expect(answers?.map(({ counted }) => counted)).toEqual(subjects.map(({ asked }) => Math.min(2, asked)));
  });
});
