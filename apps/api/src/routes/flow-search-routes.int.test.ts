// Search, counts and bulk actions over REST.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ask, post, type Answer } from '../test-support/ask.ts';
import { startDead } from '../test-support/dead-flows.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';

let api: TestApi;
let key: string;
let workspaces = 0;

beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

beforeEach(async () => {
  workspaces += 1;
  key = await api.newKey({ workspace: `search${workspaces}`, role: 'operator' });
});

const get = (path: string) => ask(api, { path, key });
const send = (path: string, json: unknown, headers: Record<string, string> = {}) => post(api, path, { json, key, headers });
const ids = (answer: Answer) => (answer.json['items'] as { id: string }[]).map(({ id }) => id);

async function start(body: Record<string, unknown> = {}): Promise<string> {
  return String((await send('/v1/flows', { flow: 'test.one', input: {}, ...body })).json['id']);
}

describe('GET /v1/flows and /v1/flows/count', () => {
  it('take the same filter and agree', async () => {
    const [plain, tagged, strict] = [
      await start(),
      await start({ tags: { team: 'a:b' } }),
      await start({ flow: 'test.strict', input: { account: '42', lines: [{ count: 7 }] } }),
    ];
    const failed = await startDead(api, { key, message: 'Gone 100%' });
    const cases: [string, string[]][] = [
      ['', [failed, strict, tagged, plain]],
      ['status=failed', [failed]],
      ['status=queued,failed', [failed, strict, tagged, plain]],
      ['flow=test.strict', [strict]],
      ['tag=team:a:b', [tagged]],
      ['tag=team:a:b&tag=team:c', []],
      ['error=gone%20100%25', [failed]],
      ['input=account:42', [strict]],
      ['input=account:%2242%22', [strict]],
      ['input=account:43', []],
      ['input=lines%5B%5D.count:7&input=account:42', [strict]],
      ['input=lines%5B%5D.count:8&input=account:42', []],
      ['finishedAfter=2020-01-01T00:00:00Z', [failed]],
      ['finishedBefore=2020-01-01T00:00:00Z', []],
      ['createdAfter=2020-01-01T00:00:00Z&createdBefore=2120-01-01T00:00:00Z', [failed, strict, tagged, plain]],
      ['createdBefore=2020-01-01T00:00:00Z', []],
      ['q=TEAM:A&status=queued', [tagged]],
    ];
    for (const [query, expected] of cases) {
      expect({ query, ids: ids(await get(`/v1/flows?${query}`)) }).toEqual({ query, ids: expected });
      expect({ query, count: (await get(`/v1/flows/count?${query}`)).json }).toEqual({
        query,
        count: { count: expected.length, capped: false },
      });
    }
    const foreign = await api.newKey({ workspace: 'foreign', role: 'viewer' });
    expect((await ask(api, { path: '/v1/flows/count', key: foreign })).json).toEqual({ count: 0, capped: false });
  });

  it('go on where a page ended, with the same filter only', async () => {
    const flows = [await start(), await start(), await start()];
    const first = await get('/v1/flows?q=test.one&limit=2');
    const cursor = encodeURIComponent(String(first.json['nextCursor']));
    expect(ids(first)).toEqual(flows.toReversed().slice(0, 2));
    const second = await get(`/v1/flows?q=test.one&limit=2&cursor=${cursor}`);
    expect([ids(second), second.json['nextCursor']]).toEqual([[flows[0]], null]);
    expect((await get(`/v1/flows?q=test&limit=2&cursor=${cursor}`)).status).toBe(400);
  });

  it.each([
    ['input=account', 'input/0'],
    ['input=:1', 'input/0'],
    ['input=a..b:1', 'input/0'],
    ['error=', 'error'],
    ['createdBefore=yesterday', 'createdBefore'],
    ['finishedAfter=2020', 'finishedAfter'],
    ['colour=red', 'colour'],
    ['status=lost', 'status/0'],
  ])('refuse %s', async (query, pointer) => {
    for (const path of ['/v1/flows', '/v1/flows/count']) {
      const answer = await get(`${path}?${query}`);
      expect([answer.status, (answer.json['errors'] as { pointer: string }[])[0]?.pointer]).toEqual([422, pointer]);
    }
  });
});

describe('POST /v1/flows/bulk', () => {
  it('counts first when it is asked to, those only that it could change', async () => {
    const [first, second] = [await start(), await start({ tags: { team: 'a' } })];
    const failed = await startDead(api, { key, message: 'no' });
    const dryRun = (action: string, filter: unknown) => send('/v1/flows/bulk', { action, filter, dryRun: true });
    const cancel = await dryRun('cancel', { flow: 'test.one' });
    expect([cancel.status, cancel.json]).toEqual([200, { count: 2, capped: false, sample: [second, first] }]);
    expect((await dryRun('cancel', { tag: 'team:a' })).json).toMatchObject({ count: 1 });
    expect((await dryRun('cancel', { tag: ['team:a', 'team:b'] })).json).toEqual({ count: 0, capped: false, sample: [] });
    expect((await dryRun('retry', { flow: 'test.one' })).json).toEqual({ count: 1, capped: false, sample: [failed] });
    expect((await dryRun('retry', { status: 'queued,completed' })).json).toMatchObject({ count: 0 });
    expect((await dryRun('cancel', { status: ['queued'], input: 'account:1' })).json).toMatchObject({ count: 0 });
    expect((await get('/v1/operations')).json['items']).toEqual([]);
  });

  it('answers the operation that carries it out, one per Idempotency-Key', async () => {
    await start();
    const body = { action: 'cancel', filter: { flow: 'test.one', createdBefore: '2120-01-01T00:00:00Z' }, ratePerSecond: 10 };
    const headers = { 'idempotency-key': 'bulk-once' };
    const [first, second] = [await send('/v1/flows/bulk', body, headers), await send('/v1/flows/bulk', body, headers)];
    expect(first.status).toBe(202);
    expect(first.json).toMatchObject({
      kind: 'cancel',
      status: 'queued',
      total: null,
      done: 0,
      ratePerSecond: 10,
      selection: { filter: body.filter },
    });
    expect(first.headers.location).toBe(`/v1/operations/${String(first.json['id'])}`);
    expect(second.text).toBe(first.text);
    expect(second.headers['idempotency-replayed']).toBe('true');
    expect((await get('/v1/operations')).json['items']).toEqual([first.json]);
  });

  it('pages its operations', async () => {
    const made = [];
    for (let n = 0; n < 3; n += 1) made.push(String((await send('/v1/flows/bulk', { action: 'retry', filter: { q: 'x' } })).json['id']));
    const first = await get('/v1/operations?limit=2&kind=retry');
    expect(ids(first)).toEqual(made.toReversed().slice(0, 2));
    const second = await get(`/v1/operations?limit=2&kind=retry&cursor=${encodeURIComponent(String(first.json['nextCursor']))}`);
    expect([ids(second), second.json['nextCursor']]).toEqual([[made[0]], null]);
  });

  it.each<[string, unknown, string]>([
    ['no filter', { action: 'cancel' }, '/filter'],
    ['a filter that says nothing', { action: 'cancel', filter: {} }, '/filter'],
    ['an unknown action', { action: 'delete', filter: { flow: 'x' } }, '/action'],
    ['an unknown criterion', { action: 'cancel', filter: { limit: 1 } }, '/filter/limit'],
    ['an unknown field', { action: 'cancel', filter: { flow: 'x' }, canary: true }, '/canary'],
  ])('refuses %s', async (_, body, pointer) => {
    const answer = await send('/v1/flows/bulk', body);
    expect([answer.status, (answer.json['errors'] as { pointer: string }[])[0]?.pointer]).toEqual([422, pointer]);
  });

  it('is not for viewers', async () => {
    const viewer = await api.newKey({ workspace: 'default', role: 'viewer' });
    expect((await post(api, '/v1/flows/bulk', { json: { action: 'cancel', filter: { flow: 'x' } }, key: viewer })).status).toBe(403);
  });
});
