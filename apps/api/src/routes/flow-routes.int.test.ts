// Starting, finding, reading, cancelling and retrying flows over HTTP.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systemClock } from '@millrace/process';
import { createKeys, createUpdatePublisher } from '@millrace/redis';
import { eventually } from '@millrace/testing';
import { ask, post, type Answer } from '../test-support/ask.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';

let api: TestApi;
/** How far the clock of the API is ahead. */
let aheadMs = 0;
beforeAll(async () => {
  api = await startTestApi({ clock: { ...systemClock, nowMs: () => Date.now() + aheadMs } });
});
afterAll(() => api.stop());

const HOUR_MS = 3_600_000;
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const keyed = (key: string) => ({ headers: { 'content-type': 'application/json', 'idempotency-key': key } });
const startOne = async (body: object = {}) =>
  String((await post(api, '/v1/flows', { json: { flow: 'test.chain', input: {}, ...body } })).json['id']);
const idsOf = (answer: Answer) => (answer.json['items'] as { id: string }[]).map((item) => item.id);
const countFlows = async () =>
  (await api.database.main.query<{ count: number }>('SELECT count(*)::int AS count FROM millrace.flows')).rows[0]?.count ?? -1;

describe('POST /v1/flows', () => {
  it('answers 202 with what was committed, and sends the ready phase to the queue', async () => {
    const created = await post(api, '/v1/flows', { json: { flow: 'test.chain', input: { a: 1 }, tags: { team: 'x' }, priority: 7 } });
    expect(created.status).toBe(202);
    const id = String(created.json['id']);
    expect(id).toMatch(UUID_V7);
    expect(created.json).toEqual({
      id,
      flow: 'test.chain',
      version: 3,
      status: 'queued',
      links: expect.objectContaining({ self: `/v1/flows/${id}`, events: `/v1/flows/${id}/events` }),
    });
    expect(created.headers.location).toBe(`/v1/flows/${id}`);
    const read = await ask(api, { path: `/v1/flows/${id}` });
    expect(read.json).toMatchObject({
      id,
      status: 'queued',
      run: 1,
      workspace: 'default',
      input: { a: 1 },
      outputs: {},
      tags: { team: 'x' },
      priority: 7,
      startedAt: null,
      finishedAt: null,
      runAt: null,
    });
    expect(read.json['phases']).toEqual([
      expect.objectContaining({ name: 'first', status: 'queued', needs: [], attempts: 0 }),
      expect.objectContaining({ name: 'second', status: 'pending', needs: ['first'], attempts: 0 }),
    ]);
    expect(read.json['createdAt']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    await eventually(async () => {
      expect(await api.waitingCount()).toBe(1);
    });
  });

  it('keeps what has no room in Redis, or is not due, in PostgreSQL', async () => {
    const id = await startOne({ runAt: new Date(Date.now() + 3_600_000).toISOString() });
    const found = await api.database.main.query('SELECT dispatched FROM millrace.phases WHERE flow_id = $1 ORDER BY id', [id]);
    expect(found.rows).toEqual([{ dispatched: false }, { dispatched: false }]);
  });

  it('answers the same when it is sent again after its time has passed', async () => {
    const expiresAt = new Date(Date.now() + HOUR_MS).toISOString();
    const question = { json: { flow: 'test.one', input: {}, expiresAt }, ...keyed('expiring') };
    const first = await post(api, '/v1/flows', question);
    aheadMs = 2 * HOUR_MS;
    const again = await post(api, '/v1/flows', question);
    expect([again.status, again.text, again.headers['idempotency-replayed']]).toEqual([202, first.text, 'true']);
    const other = await post(api, '/v1/flows', { ...question, ...keyed('not-used-yet') });
    expect([other.status, other.json['code']]).toEqual([422, 'validation']);
    aheadMs = 0;
  });

  it('makes one flow of 200 concurrent requests with one Idempotency-Key', async () => {
    const before = await countFlows();
    const answers = await Promise.all(
      Array.from({ length: 200 }, () => post(api, '/v1/flows', { json: { flow: 'test.one', input: { n: 1 } }, ...keyed('one-of-200') })),
    );
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([202]));
    expect(new Set(answers.map((answer) => answer.json['id'])).size).toBe(1);
    expect(answers.filter((answer) => answer.headers['idempotency-replayed'] === 'true')).toHaveLength(199);
    expect(await countFlows()).toBe(before + 1);
  });

  it('compares bodies whatever the order of their keys, and refuses another body', async () => {
    const first = await post(api, '/v1/flows', { json: { flow: 'test.one', input: { a: 1, b: [2, { c: 3, d: 4 }] } }, ...keyed('order') });
    const same = await post(api, '/v1/flows', { json: { input: { b: [2, { d: 4, c: 3 }], a: 1 }, flow: 'test.one' }, ...keyed('order') });
    expect(same.text).toBe(first.text);
    expect(same.headers.location).toBe(first.headers.location);
    const other = await post(api, '/v1/flows', { json: { flow: 'test.one', input: { a: 2 } }, ...keyed('order') });
    expect({ status: other.status, code: other.json['code'] }).toEqual({ status: 422, code: 'idempotency-key-reused' });
  });

  it('does not let a refused request take its key, and keeps workspaces apart', async () => {
    expect((await post(api, '/v1/flows', { json: { flow: 'test.none', input: {} }, ...keyed('again') })).status).toBe(422);
    const mine = await post(api, '/v1/flows', { json: { flow: 'test.one', input: {} }, ...keyed('again') });
    const key = await api.newKey({ workspace: 'neighbour', role: 'operator' });
    const theirs = await post(api, '/v1/flows', { json: { flow: 'test.one', input: { other: true } }, ...keyed('again'), key });
    expect([mine.status, theirs.status]).toEqual([202, 202]);
    expect(theirs.json['id']).not.toBe(mine.json['id']);
  });
});

describe('GET /v1/flows', () => {
  it('pages newest first with a cursor that is bound to workspace and filter', async () => {
    const key = await api.newKey({ workspace: 'paging', role: 'operator' });
    const ids: string[] = [];
    for (let index = 0; index < 5; index += 1)
      ids.unshift(
        String((await post(api, '/v1/flows', { json: { flow: 'test.one', input: {}, tags: { n: String(index) } }, key })).json['id']),
      );
    const first = await ask(api, { path: '/v1/flows?limit=2&flow=test.one', key });
    expect(idsOf(first)).toEqual(ids.slice(0, 2));
    const cursor = String(first.json['nextCursor']);
    const second = await ask(api, { path: `/v1/flows?limit=2&flow=test.one&cursor=${cursor}`, key });
    expect(idsOf(second)).toEqual(ids.slice(2, 4));
    const last = await ask(api, { path: `/v1/flows?limit=2&flow=test.one&cursor=${String(second.json['nextCursor'])}`, key });
    expect({ ids: idsOf(last), next: last.json['nextCursor'] }).toEqual({ ids: ids.slice(4), next: null });
    expect((await ask(api, { path: `/v1/flows?limit=2&cursor=${cursor}`, key })).json['code']).toBe('invalid-cursor');
    expect((await ask(api, { path: `/v1/flows?limit=2&flow=test.one&cursor=${cursor}` })).json['code']).toBe('invalid-cursor');
    expect((await ask(api, { path: `/v1/flows?limit=2&flow=test.one&cursor=${cursor.slice(0, -1)}`, key })).json['code']).toBe(
      'invalid-cursor',
    );
  });

  it('filters by status, flow, tags, time and literal text', async () => {
    const key = await api.newKey({ workspace: 'searching', role: 'operator' });
    const start = async (body: object) =>
      String((await post(api, '/v1/flows', { json: { flow: 'test.one', input: {}, ...body }, key })).json['id']);
    const plain = await start({});
    const tagged = await start({ tags: { team: 'a:b', stage: 'prod' } });
    const percent = await start({ flow: 'test.chain', tags: { note: '100%_sure (a+)+$' } });
    await ask(api, { method: 'POST', path: `/v1/flows/${plain}/cancel`, key });
    const find = async (query: string) => idsOf(await ask(api, { path: `/v1/flows?${query}`, key }));
    expect(await find('status=cancelled')).toEqual([plain]);
    expect(await find('status=queued,cancelled')).toEqual([percent, tagged, plain]);
    expect(await find('flow=test.chain')).toEqual([percent]);
    expect(await find('tag=team:a:b&tag=stage:prod')).toEqual([tagged]);
    expect(await find('tag=team:a:b&tag=stage:dev')).toEqual([]);
    expect(await find('tag=stage:prod&tag=stage:dev')).toEqual([]);
    expect(await find('tag=stage:prod&tag=stage:prod')).toEqual([tagged]);
    expect(await find(`q=${encodeURIComponent('100%_SURE')}`)).toEqual([percent]);
    expect(await find(`q=${encodeURIComponent('(a+)+$')}`)).toEqual([percent]);
    expect(await find(`q=${plain}`)).toEqual([plain]);
    expect(await find(`createdAfter=${encodeURIComponent(new Date(Date.now() + 60_000).toISOString())}`)).toEqual([]);
    expect(await find('createdAfter=2020-01-01T00:00:00Z')).toHaveLength(3);
    for (const early of ['0000-01-01T00:00:00Z', '0001-01-01T00:00:00+23:59'])
      expect(await find(`createdAfter=${encodeURIComponent(early)}`)).toHaveLength(3);
    expect(await find('createdAfter=9999-12-31T23:59:59-23:59')).toEqual([]);
    const list = await ask(api, { path: '/v1/flows', key });
    expect(list.text).not.toMatch(/"(input|outputs|created_by|createdBy)"/);
  });
});

describe('POST /v1/flows/{id}/cancel', () => {
  it('cancels at once, tells workers and watchers, and refuses to do it again', async () => {
    const id = await startOne();
    const keys = createKeys(api.redisPrefix);
    const subscriber = api.redis.duplicate();
    await subscriber.connect();
    const heard: [string, unknown][] = [];
    subscriber.on('message', (channel: string, message: string) => heard.push([channel, JSON.parse(message)]));
    await subscriber.subscribe(keys.control(), keys.updates('default', id));
    const cancelled = await ask(api, { method: 'POST', path: `/v1/flows/${id}/cancel` });
    expect({ status: cancelled.status, flow: cancelled.json['status'] }).toEqual({ status: 202, flow: 'cancelled' });
    expect((cancelled.json['phases'] as { status: string }[]).map((phase) => phase.status)).toEqual(['cancelled', 'cancelled']);
    expect(cancelled.json['cancellation']).toEqual({ requestedAt: expect.any(String), by: expect.any(String), phases: [] });
    await eventually(() => {
      expect(heard).toHaveLength(4);
    });
    subscriber.disconnect();
    expect(heard).toEqual(
      expect.arrayContaining([
        [keys.control(), { type: 'cancel', flowId: id }],
        // It may have held a place that another one waits for.
        [keys.control(), { type: 'admissions' }],
        [keys.updates('default', id), [expect.objectContaining({ type: 'flow.cancelled', flowId: id, seq: 3 })]],
      ]),
    );
    const again = await ask(api, { method: 'POST', path: `/v1/flows/${id}/cancel` });
    expect({ status: again.status, code: again.json['code'], detail: again.json['detail'] }).toEqual({
      status: 409,
      code: 'invalid-state',
      detail: 'The flow is cancelled.',
    });
  });
});

describe('the cancellation of a flow', () => {
  it('tells of each phase that ran who was to stop and what came of it, and is not there otherwise', async () => {
    const id = await startOne();
    const read = async () => (await ask(api, { path: `/v1/flows/${id}` })).json['cancellation'];
    expect(await read()).toBeUndefined();
    await api.database.main.query(
      "UPDATE millrace.phases SET status = 'running', lease_owner = 'w-1', started_at = now() WHERE flow_id = $1",
      [id],
    );
    await ask(api, { method: 'POST', path: `/v1/flows/${id}/cancel` });
    const open = { worker: 'w-1', requestedAt: expect.any(String), seenAt: null, endedAt: null, how: null };
    const phases = [
      { ...open, phase: 'first' },
      { ...open, phase: 'second' },
    ];
    expect(await read()).toEqual({ requestedAt: expect.any(String), by: expect.any(String), phases });
    await api.database.main.query(
      "UPDATE millrace.cancellations SET seen_at = now(), ended_at = now(), how = 'killed' WHERE flow_id = $1",
      [id],
    );
    expect(await read()).toMatchObject({
      phases: [{ how: 'killed', seenAt: expect.stringMatching(/Z$/), endedAt: expect.stringMatching(/Z$/) }, {}],
    });
  });
});

describe('POST /v1/flows/{id}/retry', () => {
  it('opens a new run of a failed flow and of no other', async () => {
    const id = await startOne();
    const early = await ask(api, { method: 'POST', path: `/v1/flows/${id}/retry` });
    expect({ status: early.status, detail: early.json['detail'] }).toEqual({ status: 409, detail: 'The flow is queued.' });
    await api.database.main.query(
      "/* forged */ UPDATE millrace.phases SET status = CASE WHEN name = 'first' THEN 'completed' ELSE 'failed' END, output = '{\"rows\": 3}' WHERE flow_id = $1",
      [id],
    );
    await api.database.main.query(
      "/* forged */ UPDATE millrace.flows SET status = 'failed', phases_open = 0, phases_failed = 1 WHERE id = $1",
      [id],
    );
    const retried = await ask(api, { method: 'POST', path: `/v1/flows/${id}/retry`, body: '{}' });
    expect(retried.status).toBe(202);
    expect(retried.json).toMatchObject({ status: 'queued', run: 2, outputs: { first: { rows: 3 } } });
    expect((retried.json['phases'] as { status: string }[]).map((phase) => phase.status)).toEqual(['completed', 'queued']);
  });
});

describe('POST /v1/flows/{id}/phases/{phase}/run', () => {
  const end = async (id: string, status: string) => {
    await api.database.main.query("/* forged */ UPDATE millrace.phases SET status = 'completed', output = '1' WHERE flow_id = $1", [id]);
    await api.database.main.query(
      '/* forged */ UPDATE millrace.flows SET status = $2, phases_open = 0, finished_at = now() WHERE id = $1',
      [id, status],
    );
  };
  const rerun = (id: string, phase: string, options = {}) =>
    ask(api, { method: 'POST', path: `/v1/flows/${id}/phases/${phase}/run`, ...options });

  it('opens a new run of an ended flow with that phase and what depends on it', async () => {
    const id = await startOne();
    await end(id, 'completed');
    const again = await rerun(id, 'second');
    expect({ status: again.status, location: again.headers.location }).toEqual({ status: 202, location: `/v1/flows/${id}` });
    expect(again.json).toMatchObject({ status: 'queued', run: 2, outputs: { first: 1 }, finishedAt: null });
    expect((again.json['phases'] as { status: string }[]).map((phase) => phase.status)).toEqual(['completed', 'queued']);
    expect(await rerun(id, 'second')).toMatchObject({ status: 409, json: { code: 'invalid-state', detail: 'The flow is queued.' } });
  });

  it('refuses a cancelled flow, and names what is needed and missing', async () => {
    const cancelled = await startOne();
    await ask(api, { method: 'POST', path: `/v1/flows/${cancelled}/cancel` });
    expect(await rerun(cancelled, 'first')).toMatchObject({ status: 409, json: { detail: 'The flow is cancelled.' } });
    const failed = await startOne();
    await end(failed, 'failed');
    await api.database.main.query("/* forged */ UPDATE millrace.phases SET status = 'failed' WHERE flow_id = $1 AND name = 'first'", [
      failed,
    ]);
    expect(await rerun(failed, 'second')).toMatchObject({
      status: 409,
      json: { code: 'invalid-state', detail: 'Needed phases have not come to a good end: first (failed).' },
    });
  });

  it('answers 404 for an unknown phase whatever the flow does, and for what belongs to others', async () => {
    const id = await startOne();
    expect((await rerun(id, 'third')).status).toBe(404);
    await end(id, 'completed');
    expect((await rerun(id, '%F0%9F%90%89')).status).toBe(404);
    const key = await api.newKey({ workspace: 'rerunning', role: 'operator' });
    expect((await rerun(id, 'first', { key })).status).toBe(404);
    expect((await ask(api, { path: `/v1/flows/${id}` })).json['run']).toBe(1);
  });
});

describe('progress', () => {
  it('shows the latest report of each phase, in the flow and by itself', async () => {
    const id = await startOne();
    const report = { flowId: id, phase: 'first', fraction: 0.25, message: 'reading', at: new Date().toISOString() };
    const updates = createUpdatePublisher({ client: api.redis, keys: createKeys(api.redisPrefix) });
    await updates.publishProgress([{ workspace: 'default', subjectId: id, phase: 'first', json: JSON.stringify(report) }]);
    expect((await ask(api, { path: `/v1/flows/${id}/progress` })).json).toEqual({ items: [report] });
    const read = await ask(api, { path: `/v1/flows/${id}` });
    expect((read.json['phases'] as { progress?: object }[]).map((phase) => phase.progress)).toEqual([report, undefined]);
  });
});
