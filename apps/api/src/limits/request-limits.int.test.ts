// Limits of requests as callers meet them: what the headers say, who is refused, and what Redis has to do with it.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually, startOwnRedis, type OwnRedis } from '@millrace/testing';
import { ask, post, type Answer } from '../test-support/ask.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

const limited = (requestsPerMinute?: number, role: 'viewer' | 'operator' = 'operator') =>
  api.newKey({ workspace: 'default', role, ...(requestsPerMinute === undefined ? {} : { requestsPerMinute }) });
const fields = ({ headers }: Answer) => [headers['ratelimit-policy'], headers['ratelimit']];
const NO_LIMIT = 999_999_999_999_999;

describe('a key with a limit', () => {
  it('is told what is left, then refused until there is room again', async () => {
    const key = await limited(3);
    const answers = [];
    for (let n = 0; n < 4; n += 1) answers.push(await ask(api, { path: '/v1/flows', key }));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 429]);
    expect(answers.map(({ headers }) => headers['ratelimit-policy'])).toEqual(Array(4).fill('"default";q=3;w=60'));
    expect(answers.map(({ headers }) => String(headers['ratelimit']).replace(/t=\d+$/, 't'))).toEqual([
      '"default";r=2;t',
      '"default";r=1;t',
      '"default";r=0;t',
      '"default";r=0;t',
    ]);
    const [refused] = answers.slice(-1);
    expect(refused?.json).toMatchObject({ code: 'rate-limited', status: 429, detail: 'This caller may make 3 requests in any minute.' });
    const retryAfter = Number(refused?.headers['retry-after']);
    expect(retryAfter).toBeGreaterThan(30);
    expect(retryAfter).toBeLessThanOrEqual(60);
    expect(refused?.headers['ratelimit']).toBe(`"default";r=0;t=${retryAfter}`);
  });

  it('is refused before anything else is looked at but who it is', async () => {
    const key = await limited(1, 'viewer');
    await ask(api, { path: '/v1/flows', key });
    const answers = [
      await ask(api, { path: '/v1/nothing', key }),
      await ask(api, { method: 'DELETE', path: '/v1/flows', key }),
      await post(api, '/v1/flows', { key, json: {} }),
      await ask(api, { method: 'POST', path: '/v1/keys', key, body: '{' }),
      await ask(api, { path: `/v1/flows?q=${'a'.repeat(9_000)}`, key }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([429, 429, 429, 429, 429]);
    expect((await ask(api, { path: '/v1/flows', key: 'mr_wrong' })).status).toBe(401);
  });

  it('gets exactly its requests from many at a time', async () => {
    const key = await limited(100);
    const answers = await Promise.all(Array.from({ length: 150 }, () => ask(api, { path: '/v1/queues', key })));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(100);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(50);
    const left = answers.map(({ headers }) => Number(/r=(\d+)/.exec(String(headers['ratelimit']))?.[1]));
    expect([...new Set(left)].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, n) => n));
  });

  it('does not use up what another key of the workspace has', async () => {
    const [one, other] = [await limited(1), await limited(1)];
    await ask(api, { path: '/v1/flows', key: one });
    expect((await ask(api, { path: '/v1/flows', key: one })).status).toBe(429);
    expect((await ask(api, { path: '/v1/flows', key: other })).status).toBe(200);
  });

  it('starts no flow and takes no Idempotency-Key when it is refused', async () => {
    const key = await limited(1);
    await ask(api, { path: '/v1/flows', key });
    const headers = { 'idempotency-key': 'limited' };
    const json = { flow: 'test.one', input: {} };
    expect((await post(api, '/v1/flows', { key, json, headers })).status).toBe(429);
    const free = await post(api, '/v1/flows', { json, headers });
    expect([free.status, free.headers['idempotency-replayed']]).toEqual([202, undefined]);
  });
});

describe('the fields', () => {
  it('are those of the default for a key that says nothing, and of no limit for 0 and for the admin key', async () => {
    const keyed = await ask(api, { path: '/v1/flows', key: await limited() });
    expect(fields(keyed)).toEqual(['"default";q=60000;w=60', expect.stringMatching(/^"default";r=59999;t=(60|61)$/)]);
    const free = [`"default";q=${NO_LIMIT};w=60`, `"default";r=${NO_LIMIT};t=60`];
    expect(fields(await ask(api, { path: '/v1/flows', key: await limited(0) }))).toEqual(free);
    expect(fields(await ask(api, { path: '/v1/flows' }))).toEqual(free);
  });

  it('are on every answer below /v1 but 401 and those that are no fault of the caller', async () => {
    const id = '01900000-0000-7000-8000-000000000000';
    const callback = { authorization: 'Bearer mrcb_none' };
    const answers = [
      await ask(api, { path: '/v1/nothing' }),
      await ask(api, { path: `/v1/flows/${id}` }),
      await ask(api, { method: 'PUT', path: '/v1/flows' }),
      await ask(api, { method: 'OPTIONS', path: '/v1/flows' }),
      await ask(api, { method: 'HEAD', path: '/v1/flows' }),
      await ask(api, { path: '/v1/flows?cursor=no' }),
      await ask(api, { path: `/v1/flows?q=${'a'.repeat(9_000)}` }),
      await ask(api, { method: 'POST', path: '/v1/flows', body: '{' }),
      await post(api, '/v1/flows', { json: { flow: 'test.one', input: {} } }),
      await post(api, '/v1/callbacks', { json: { output: 1 }, key: null, headers: callback }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([404, 404, 405, 204, 200, 400, 414, 400, 202, 404]);
    for (const answer of answers) expect(fields(answer)).toEqual([expect.any(String), expect.any(String)]);
    const without = [
      await ask(api, { path: '/v1/flows', key: null }),
      await ask(api, { path: '/v1/callbacks', key: null }),
      await ask(api, { path: '/openapi.json', key: null }),
    ];
    for (const answer of without) expect(fields(answer)).toEqual([undefined, undefined]);
  });
});

describe('without Redis', () => {
  let redis: OwnRedis;
  let alone: TestApi;
  beforeAll(async () => {
    redis = await startOwnRedis();
    alone = await startTestApi({ redisUrl: redis.url });
  });
  afterAll(async () => {
    await alone.stop();
    await redis.kill();
  });

  const uncounted = async () => {
    const { text } = await ask(alone, { path: '/metrics', key: null });
    return Number(/^millrace_requests_uncounted_total (\d+)$/m.exec(text)?.[1]);
  };

  it('everybody is let in, which shows, and is counted again when it is back', async () => {
    const key = await alone.newKey({ workspace: 'default', role: 'viewer', requestsPerMinute: 1 });
    expect((await ask(alone, { path: '/v1/flows', key })).status).toBe(200);
    expect((await ask(alone, { path: '/v1/flows', key })).status).toBe(429);
    redis.freeze();
    const frozen = await Promise.all(Array.from({ length: 20 }, () => ask(alone, { path: '/v1/flows', key })));
    expect(new Set(frozen.map(({ status }) => status))).toEqual(new Set([200]));
    expect(fields(frozen[0] as Answer)).toEqual(['"default";q=1;w=60', '"default";r=1;t=60']);
    expect(await uncounted()).toBe(20);
    redis.thaw();
    await eventually(async () => {
      expect((await ask(alone, { path: '/v1/flows', key })).status).toBe(429);
    });
    await redis.kill();
    const away = await ask(alone, { path: '/v1/flows', key });
    expect([away.status, ...fields(away)]).toEqual([200, '"default";q=1;w=60', '"default";r=1;t=60']);
    expect(await uncounted()).toBeGreaterThan(20);
  }, 30_000);
});
