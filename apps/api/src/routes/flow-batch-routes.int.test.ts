// Many flows with one request: order, bad lines, limits, idempotency.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systemClock } from '@millrace/process';
import { ask, type Answer } from '../test-support/ask.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';

let api: TestApi;
/** How far the clock of the API is ahead. */
let aheadMs = 0;
beforeAll(async () => {
  api = await startTestApi({ clock: { ...systemClock, nowMs: () => Date.now() + aheadMs } });
});
afterAll(() => api.stop());

type Item = { id?: string; status?: string; error?: { code: string; status: number; errors?: { pointer: string }[] } };
const HOUR_MS = 3_600_000;
const GOOD = '{"flow":"test.one","input":{}}';
const send = (body: string | Buffer, headers: Record<string, string> = {}): Promise<Answer> =>
  ask(api, { method: 'POST', path: '/v1/flows/batch', body, headers: { 'content-type': 'application/x-ndjson', ...headers } });
const itemsOf = (answer: Answer) => answer.json['items'] as Item[];
const countFlows = async () =>
  (await api.database.main.query<{ count: number }>('SELECT count(*)::int AS count FROM millrace.flows')).rows[0]?.count ?? -1;

describe('POST /v1/flows/batch', () => {
  it('answers each line in order, and a bad line fails alone', async () => {
    const before = await countFlows();
    const lines = [
      GOOD,
      '{"flow":',
      '{"flow":"test.none","input":{}}',
      '',
      GOOD,
      '[]',
      '{"flow":"test.one","input":{"__proto__":1}}',
      '{"flow":"test.one","input":{},"nope":1}',
    ].join('\r\n');
    const answer = await send(Buffer.concat([Buffer.from(`${lines}\n`), Buffer.from([0x22, 0xff, 0x22, 0x0a]), Buffer.from(GOOD)]));
    expect(answer.status).toBe(202);
    expect(itemsOf(answer).map((item) => item.status ?? item.error?.code)).toEqual([
      'queued',
      'malformed-json',
      'unknown-flow',
      'queued',
      'validation',
      'forbidden-key',
      'unknown-field',
      'invalid-encoding',
      'queued',
    ]);
    expect(itemsOf(answer)[2]?.error?.errors?.[0]?.pointer).toBe('/flow');
    expect(await countFlows()).toBe(before + 3);
  });

  it('takes a JSON array too', async () => {
    const answer = await send(`[${GOOD},{"flow":"test.one"},${GOOD}]`, { 'content-type': 'application/json' });
    expect(itemsOf(answer).map((item) => item.status ?? item.error?.code)).toEqual(['queued', 'validation', 'queued']);
  });

  it('answers 202 when every line is bad', async () => {
    const answer = await send('{}\n{}');
    expect({ status: answer.status, count: itemsOf(answer).length }).toEqual({ status: 202, count: 2 });
  });

  it.each([
    { name: 'an empty body', body: '', type: 'application/x-ndjson', status: 422, code: 'validation' },
    { name: 'an empty array', body: '[]', type: 'application/json', status: 422, code: 'validation' },
    { name: 'a JSON object', body: '{}', type: 'application/json', status: 422, code: 'validation' },
    { name: 'JSON that is cut off', body: '[{}', type: 'application/json', status: 400, code: 'malformed-json' },
    { name: '10,001 lines', body: '{}\n'.repeat(10_001), type: 'application/x-ndjson', status: 413, code: 'payload-too-large' },
    {
      name: '10,001 items',
      body: `[${Array.from({ length: 10_001 }, () => '0').join(',')}]`,
      type: 'application/json',
      status: 413,
      code: 'payload-too-large',
    },
    {
      name: 'more than 16 MiB',
      body: `"${'x'.repeat(16 * 1024 * 1024)}"`,
      type: 'application/x-ndjson',
      status: 413,
      code: 'payload-too-large',
    },
    { name: 'CSV', body: 'a,b', type: 'text/csv', status: 415, code: 'unsupported-media-type' },
  ])('refuses $name', async ({ body, type, status, code }) => {
    const answer = await send(body, { 'content-type': type });
    expect({ status: answer.status, code: answer.json['code'] }).toEqual({ status, code });
  });

  it('starts 10,000 flows within a request', async () => {
    const before = await countFlows();
    const answer = await send(`${GOOD}\n`.repeat(10_000));
    expect(itemsOf(answer).filter((item) => item.status === 'queued')).toHaveLength(10_000);
    expect(await countFlows()).toBe(before + 10_000);
  }, 15_000);

  it('covers the whole batch with its Idempotency-Key', async () => {
    const batch = `${GOOD}\n{"flow":"test.none","input":{}}\n${GOOD}`;
    const first = await send(batch, { 'idempotency-key': 'batch-1' });
    const before = await countFlows();
    const replay = await send(batch, { 'idempotency-key': 'batch-1' });
    expect(itemsOf(replay).map((item) => item.id)).toEqual(itemsOf(first).map((item) => item.id));
    expect({ first: first.headers['idempotency-replayed'], replay: replay.headers['idempotency-replayed'] }).toEqual({
      first: undefined,
      replay: 'true',
    });
    const longer = await send(`${batch}\n${GOOD}`, { 'idempotency-key': 'batch-1' });
    expect({ status: longer.status, code: longer.json['code'] }).toEqual({ status: 422, code: 'idempotency-key-reused' });
    expect(await countFlows()).toBe(before);
  });

  it('knows another batch under its Idempotency-Key, whichever lines of either are good', async () => {
    const headers = { 'idempotency-key': 'batch-2' };
    expect((await send(`{}\n{}\n${GOOD}`, headers)).status).toBe(202);
    expect((await send(`${GOOD}\n${GOOD}`, headers)).json['code']).toBe('idempotency-key-reused');
  });

  it('answers the same when it is sent again after the time of a line has passed', async () => {
    const soon = new Date(Date.now() + HOUR_MS).toISOString();
    const line = (more: object) => JSON.stringify({ flow: 'test.one', input: {}, ...more });
    const batch = [line({ expiresAt: soon }), line({}), line({ expiresAt: soon, idempotencyKey: 'soon' }), line({ priority: 3 })].join(
      '\n',
    );
    const headers = { 'idempotency-key': 'batch-3' };
    const first = await send(batch, headers);
    expect(itemsOf(first).map((item) => item.status)).toEqual(['queued', 'queued', 'queued', 'queued']);
    const before = await countFlows();
    aheadMs = 2 * HOUR_MS;
    const again = await send(batch, headers);
    expect([again.text, again.headers['idempotency-replayed'], await countFlows()]).toEqual([first.text, 'true', before]);
    expect(itemsOf(await send(batch))[0]?.error?.code).toBe('validation');
    aheadMs = 0;
  });

  it('lets a line carry its own key', async () => {
    const line = (key: string, note: number) => JSON.stringify({ flow: 'test.one', input: { note }, idempotencyKey: key });
    const answer = await send([line('l1', 1), line('l1', 1), line('l1', 2), line('a b', 1), line('l2', 1)].join('\n'));
    const items = itemsOf(answer);
    expect(items.map((item) => item.status ?? item.error?.code)).toEqual([
      'queued',
      'queued',
      'idempotency-key-reused',
      'idempotency-key-invalid',
      'queued',
    ]);
    expect(items[1]?.id).toBe(items[0]?.id);
    expect(items[4]?.id).not.toBe(items[0]?.id);
  });
});
