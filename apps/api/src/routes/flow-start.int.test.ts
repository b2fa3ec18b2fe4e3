// What a start may say about its turn, its expiry and what it must not repeat, over HTTP.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ask, post, type Answer } from '../test-support/ask.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

const start = (body: object, headers: Record<string, string> = {}) =>
  post(api, '/v1/flows', { json: { flow: 'test.one', input: {}, ...body }, headers: { 'content-type': 'application/json', ...headers } });
const read = async (id: unknown) => (await ask(api, { path: `/v1/flows/${String(id)}` })).json;
const pointers = (answer: Answer) => (answer.json['errors'] as { pointer: string }[]).map((error) => error.pointer);
const inMs = (ms: number) => new Date(Date.now() + ms).toISOString();

describe('concurrencyKey and expiresAt', () => {
  it('are kept, held to, shown and found', async () => {
    const expiresAt = inMs(3_600_000);
    const { json } = await start({ concurrencyKey: 'Account 7%', concurrencyLimit: 3, expiresAt });
    expect(await read(json['id'])).toMatchObject({ concurrencyKey: 'Account 7%', concurrencyLimit: 3, expiresAt, status: 'queued' });
    const found = await ask(api, { path: '/v1/flows?q=account%207%25' });
    expect(found.json['items']).toMatchObject([{ id: json['id'], concurrencyKey: 'Account 7%', concurrencyLimit: 3, expiresAt }]);
    const { rows } = await api.database.main.query('SELECT held, dispatched FROM millrace.phases WHERE flow_id = $1', [json['id']]);
    expect(rows).toEqual([{ held: 'limit', dispatched: false }]);
  });

  it('have a limit of 1, and are null where nothing was said', async () => {
    const [keyed, plain] = [await start({ concurrencyKey: 'k' }), await start({})];
    expect(await read(keyed.json['id'])).toMatchObject({ concurrencyLimit: 1, expiresAt: null });
    expect(await read(plain.json['id'])).toMatchObject({ concurrencyKey: null, concurrencyLimit: null, expiresAt: null });
  });

  it.each([
    [{ concurrencyKey: '' }, '/concurrencyKey'],
    [{ concurrencyKey: 'x'.repeat(201) }, '/concurrencyKey'],
    [{ concurrencyKey: 'k', concurrencyLimit: 0 }, '/concurrencyLimit'],
    [{ concurrencyKey: 'k', concurrencyLimit: 10_001 }, '/concurrencyLimit'],
    [{ concurrencyLimit: 2 }, '/concurrencyLimit'],
    [{ expiresAt: 'tomorrow' }, '/expiresAt'],
    [{ expiresAt: '2020-01-01T00:00:00Z' }, '/expiresAt'],
    [{ expiresAt: '2200-01-01T00:00:00Z' }, '/expiresAt'],
    [{ runAt: '2030-01-01T00:00:00Z', expiresAt: '2029-01-01T00:00:00Z' }, '/expiresAt'],
    [{ dedupeKey: '' }, '/dedupeKey'],
    [{ dedupeKey: 'k', dedupeMode: 'throttle' }, '/dedupeMode'],
    [{ dedupeMode: 'reject' }, '/dedupeMode'],
    [{ dedupeKey: 'k', dedupeMode: 'window' }, '/dedupeWindow'],
    [{ dedupeKey: 'k', dedupeWindow: '10m' }, '/dedupeWindow'],
    [{ dedupeWindow: '10m' }, '/dedupeWindow'],
    [{ dedupeKey: 'k', dedupeMode: 'window', dedupeWindow: 'a while' }, '/dedupeWindow'],
    [{ dedupeKey: 'k', dedupeMode: 'window', dedupeWindow: '25d' }, '/dedupeWindow'],
    [{ dedupeKey: 'k', dedupeMode: 'window', dedupeWindow: '0s' }, '/dedupeWindow'],
  ])('refuse %j, naming %s', async (body, pointer) => {
    const answer = await start(body);
    expect([answer.status, pointers(answer)]).toEqual([422, [pointer]]);
  });
});

describe('dedupeKey', () => {
  it('makes one flow of 100 parallel requests, whose other 99 say so', async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, () => start({ dedupeKey: 'parallel' })));
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([202]));
    expect(new Set(answers.map((answer) => answer.json['id'])).size).toBe(1);
    expect(answers.filter((answer) => answer.json['deduplicated'] === true)).toHaveLength(99);
  });

  it('answers the flow that is there: its status, where it is', async () => {
    const { json } = await start({ dedupeKey: 'there' });
    await api.database.main.query("UPDATE millrace.flows SET status = 'running', started_at = now() WHERE id = $1", [json['id']]);
    const again = await start({ dedupeKey: 'there' });
    expect([again.status, again.headers.location]).toEqual([202, `/v1/flows/${String(json['id'])}`]);
    expect(again.json).toEqual({ ...json, status: 'running', deduplicated: true });
  });

  it('refuses with reject, naming the flow', async () => {
    const { json } = await start({ dedupeKey: 'reject', dedupeMode: 'reject' });
    const again = await start({ dedupeKey: 'reject', dedupeMode: 'reject' });
    expect(again).toMatchObject({ status: 409, json: { code: 'already-exists', detail: expect.stringContaining(String(json['id'])) } });
  });

  it('replaces what has not started, which is how starts are debounced', async () => {
    const body = { dedupeKey: 'replace', dedupeMode: 'replace', runAt: inMs(60_000) };
    const [first, second] = [await start(body), await start(body)];
    expect([second.status, second.json['deduplicated']]).toEqual([202, undefined]);
    expect(await read(first.json['id'])).toMatchObject({ status: 'cancelled', phases: [{ status: 'cancelled' }] });
    expect(await read(second.json['id'])).toMatchObject({ status: 'queued' });
    const events = await ask(api, { path: `/v1/flows/${String(first.json['id'])}/events` });
    expect((events.json['items'] as object[]).at(-1)).toMatchObject({ type: 'flow.cancelled', data: { reason: 'replaced' } });
  });

  it('answers the first flow of a window whatever became of it', async () => {
    const body = { dedupeKey: 'window', dedupeMode: 'window', dedupeWindow: '10m' };
    const { json } = await start(body);
    await api.database.main.query("/* forged */ UPDATE millrace.flows SET status = 'completed', finished_at = now() WHERE id = $1", [
      json['id'],
    ]);
    expect((await start(body)).json).toMatchObject({ id: json['id'], status: 'completed', deduplicated: true });
  });

  it('replays with an Idempotency-Key what was answered, and refuses another body', async () => {
    const headers = { 'idempotency-key': 'with-dedupe' };
    await start({ dedupeKey: 'idempotent' });
    const first = await start({ dedupeKey: 'idempotent' }, headers);
    const again = await start({ dedupeKey: 'idempotent' }, headers);
    expect([again.headers['idempotency-replayed'], again.text]).toEqual(['true', first.text]);
    expect(first.json['deduplicated']).toBe(true);
    expect((await start({ dedupeKey: 'other' }, headers)).json['code']).toBe('idempotency-key-reused');
  });

  it('stands or falls with its own line of a batch, beside lines that have none', async () => {
    const line = (body: object) => JSON.stringify({ flow: 'test.one', input: {}, ...body });
    const reject = { dedupeKey: 'batch', dedupeMode: 'reject' };
    const { status, json } = await ask(api, {
      method: 'POST',
      path: '/v1/flows/batch',
      headers: { 'content-type': 'application/x-ndjson' },
      body: [line(reject), line({}), line(reject), line({ dedupeKey: 'batch' }), line({ dedupeKey: '' }), line({})].join('\n'),
    });
    const items = json['items'] as { id?: string; deduplicated?: boolean; error?: { code: string } }[];
    expect(status).toBe(202);
    expect(items.map((item) => item.error?.code ?? item.deduplicated ?? 'started')).toEqual([
      'started',
      'started',
      'already-exists',
      true,
      'validation',
      'started',
    ]);
    expect(items[3]?.id).toBe(items[0]?.id);
    expect(new Set([items[0]?.id, items[1]?.id, items[5]?.id]).size).toBe(3);
  });
});

describe('a flow that was started in SQL', () => {
  it('is read before it is planned, and may be cancelled', async () => {
    const { rows } = await api.database.main.query<{ id: string }>("SELECT millrace.start_flow('test.one', '{}') AS id");
    const id = rows[0]?.id;
    expect(await read(id)).toMatchObject({ id, flow: 'test.one', version: 0, status: 'queued', phases: [], outputs: {} });
    expect(await post(api, `/v1/flows/${String(id)}/cancel`, { json: {} })).toMatchObject({
      status: 202,
      json: { status: 'cancelled', phases: [] },
    });
  });
});
