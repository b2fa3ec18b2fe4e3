// Schedules over REST: made, refused, listed, paused, run now and deleted, each kept to its workspace.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fireDue } from '@millrace/store';
import { ask, post, type Answer } from '../test-support/ask.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

/** Daily, at an hour that does not come while the tests run. */
const QUIET = `30 ${(new Date().getUTCHours() + 12) % 24} * * *`;
let count = 0;
const body = (changes: object = {}) => {
  count += 1;
  return {
    name: `schedule ${count}`,
    flow: 'test.one',
    input: {},
    cron: QUIET,
    timezone: 'Europe/Berlin',
    overlap: 'queue',
    catchUp: 'last',
    ...changes,
  };
};
const create = (changes: object = {}, headers = {}) =>
  post(api, '/v1/schedules', { json: body(changes), headers: { 'content-type': 'application/json', ...headers } });
const created = async (changes: object = {}) => {
  const answer = await create(changes);
  if (answer.status !== 201) throw new Error(answer.text);
  return String(answer.json['id']);
};
const act = (id: string, action: string, json?: object) =>
  ask(api, { method: 'POST', path: `/v1/schedules/${id}/${action}`, ...(json === undefined ? {} : { body: JSON.stringify(json) }) });
const read = (id: string) => ask(api, { path: `/v1/schedules/${id}` });
const pointer = (answer: Answer) => (answer.json['errors'] as { pointer: string }[])[0]?.pointer;
const items = (answer: Answer) => answer.json['items'] as Record<string, unknown>[];
/** Lets times pass and fires them as a worker would. */
const pass = async (id: string, ago: string) => {
  await api.database.main.query('UPDATE millrace.schedules SET next_at = now() - $2::interval WHERE id = $1', [id, ago]);
  await fireDue(api.database, {
    knownFlows: ['test.one'],
    plan: () => ({
      kind: 'planned',
      version: 3,
      phases: [{ name: 'only', needs: [], dependants: [], attemptMax: 1, signal: null, waitTimeoutMs: null }],
      timeoutMs: null,
      expiresInMs: null,
    }),
  });
};

describe('POST /v1/schedules', () => {
  it('makes a schedule and tells when it runs next', async () => {
    const answer = await create({ name: 'nightly', tags: { team: 'ops' } });
    expect(answer.status).toBe(201);
    const id = String(answer.json['id']);
    expect(answer.headers.location).toBe(`/v1/schedules/${id}`);
    expect(answer.json).toMatchObject({
      name: 'nightly',
      workspace: 'default',
      flow: 'test.one',
      input: {},
      cron: QUIET,
      timezone: 'Europe/Berlin',
      overlap: 'queue',
      catchUp: 'last',
      tags: { team: 'ops' },
      status: 'active',
      pause: null,
      lastRun: null,
      missedCount: 0,
      links: { self: `/v1/schedules/${id}`, run: `/v1/schedules/${id}/run` },
    });
    const nextRuns = answer.json['nextRuns'] as string[];
    expect(nextRuns).toHaveLength(5);
    expect(answer.json['nextRunAt']).toBe(nextRuns[0]);
    expect(nextRuns.toSorted()).toEqual(nextRuns);
    expect(Date.parse(nextRuns[0] ?? '')).toBeGreaterThan(Date.now() - 1_000);
    expect((await read(id)).json).toEqual(answer.json);
  });

  it('reads UTC, skip and none where nothing is said', async () => {
    const answer = await post(api, '/v1/schedules', { json: { name: 'short', flow: 'test.one', input: {}, cron: '* * * * *' } });
    expect(answer.json).toMatchObject({ timezone: 'UTC', overlap: 'skip', catchUp: 'none', tags: {} });
  });

  it('refuses a name that is taken, in this workspace only', async () => {
    expect((await create({ name: 'taken' })).status).toBe(201);
    const again = await create({ name: 'taken', flow: 'test.chain' });
    expect({ status: again.status, code: again.json['code'] }).toEqual({ status: 409, code: 'already-exists' });
    const key = await api.newKey({ workspace: 'elsewhere', role: 'operator' });
    expect((await post(api, '/v1/schedules', { json: body({ name: 'taken' }), key })).status).toBe(201);
  });

  it('makes one for one Idempotency-Key, byte for byte the same, and lets no refused request take it', async () => {
    const send = (changes: object) => create({ name: 'once', ...changes }, { 'idempotency-key': 'schedule-1' });
    expect((await send({ cron: 'x' })).status).toBe(422);
    const answers = await Promise.all(Array.from({ length: 5 }, () => send({})));
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201]);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers.filter(({ headers }) => headers['idempotency-replayed'] === 'true')).toHaveLength(4);
    expect((await send({ cron: '* * * * *' })).json['code']).toBe('idempotency-key-reused');
  });

  it.each([
    ['no name', { name: undefined }, '/name'],
    ['an empty name', { name: '' }, '/name'],
    ['no input', { input: undefined }, '/input'],
    ['seconds', { cron: '0 * * * * *' }, '/cron'],
    ['a nickname', { cron: '@daily' }, '/cron'],
    ['an hour that is none', { cron: '0 24 * * *' }, '/cron'],
    ['a day that never comes', { cron: '0 0 30 2 *' }, '/cron'],
    ['an unknown time zone', { timezone: 'Mars/Base' }, '/timezone'],
    ['an offset for a time zone', { timezone: '+01:00' }, '/timezone'],
    ['an unknown overlap', { overlap: 'replace' }, '/overlap'],
    ['an unknown catch-up', { catchUp: 'some' }, '/catchUp'],
    ['bad tags', { tags: { 'a b': 'x' } }, '/tags/a b'],
    ['an unknown flow', { flow: 'nothing' }, '/flow'],
    ['an input that does not fit', { flow: 'test.strict', input: { account: '' } }, '/input/account'],
    ['phases that do not fit', { flow: 'test.cycle' }, '/input'],
    ['an unknown field', { paused: true }, '/paused'],
  ])('refuses %s', async (_name, changes, expected) => {
    const answer = await create(changes);
    expect({ status: answer.status, pointer: pointer(answer) }).toEqual({ status: 422, pointer: expected });
  });
});

describe('GET /v1/schedules', () => {
  it('pages, filters by flow and shows no inputs', async () => {
    const key = await api.newKey({ workspace: 'lists', role: 'operator' });
    for (const flow of ['test.one', 'test.chain', 'test.one']) await post(api, '/v1/schedules', { json: body({ flow }), key });
    const first = await ask(api, { path: '/v1/schedules?limit=2', key });
    const second = await ask(api, { path: `/v1/schedules?limit=2&cursor=${String(first.json['nextCursor'])}`, key });
    const all = [...items(first), ...items(second)];
    expect(all.map((item) => item['flow'])).toEqual(['test.one', 'test.chain', 'test.one']);
    expect(second.json['nextCursor']).toBeNull();
    expect(all[0]).not.toHaveProperty('input');
    expect(all[0]).toHaveProperty('nextRunAt', expect.any(String));
    expect(items(await ask(api, { path: '/v1/schedules?flow=test.chain', key }))).toHaveLength(1);
    expect((await ask(api, { path: `/v1/schedules?flow=test.one&cursor=${String(first.json['nextCursor'])}`, key })).json['code']).toBe(
      'invalid-cursor',
    );
  });
});

describe('what became of its times', () => {
  it('is told with the last run and the number that was missed', async () => {
    const id = await created({ overlap: 'skip', catchUp: 'none' });
    await pass(id, '3 days');
    await pass(id, '10 s');
    await pass(id, '5 s');
    const { json } = await read(id);
    const missed = Number(json['missedCount']);
    expect(missed).toBeGreaterThanOrEqual(3);
    const fires = items(await ask(api, { path: `/v1/schedules/${id}/fires` }));
    expect(fires.map((fire) => fire['outcome'])).toEqual(['skipped', 'started', ...Array.from({ length: missed }, () => 'missed')]);
    expect(fires[1]).toMatchObject({ trigger: 'time', count: 1, reason: null, firedAt: expect.any(String) });
    expect(fires[0]).toMatchObject({ flowId: null, firedAt: null, reason: `flow ${String(fires[1]?.['flowId'])} had not ended` });
    expect(json['lastRun']).toEqual({
      flowId: fires[1]?.['flowId'],
      dueAt: fires[1]?.['dueAt'],
      firedAt: fires[1]?.['firedAt'],
      status: 'queued',
    });
  });

  it('is paged and filtered', async () => {
    const id = await created({ overlap: 'allow', catchUp: 'none' });
    for (const ago of ['3 days', '10 s', '8 s', '6 s']) await pass(id, ago);
    const path = `/v1/schedules/${id}/fires?outcome=started,skipped`;
    const first = await ask(api, { path: `${path}&limit=2` });
    const second = await ask(api, { path: `${path}&limit=2&cursor=${String(first.json['nextCursor'])}` });
    expect([...items(first), ...items(second)].map((fire) => fire['outcome'])).toEqual(['started', 'started', 'started']);
    const dues = [...items(first), ...items(second)].map((fire) => String(fire['dueAt']));
    expect(dues.toSorted().toReversed()).toEqual(dues);
    expect((await ask(api, { path: `/v1/schedules/${id}/fires?outcome=lost` })).status).toBe(422);
    const other = await created();
    expect((await ask(api, { path: `/v1/schedules/${other}/fires?cursor=${String(first.json['nextCursor'])}` })).json['code']).toBe(
      'invalid-cursor',
    );
  });
});

describe('pause and resume', () => {
  it('says who paused it, why and until when, and goes on after', async () => {
    const id = await created();
    const until = new Date(Date.now() + 10 * 86_400_000).toISOString();
    const paused = await act(id, 'pause', { reason: 'audit', until });
    expect(paused.status).toBe(202);
    expect(paused.json).toMatchObject({
      status: 'paused',
      pause: { by: expect.any(String), reason: 'audit', at: expect.any(String), until },
    });
    expect(Date.parse(String(paused.json['nextRunAt']))).toBeGreaterThanOrEqual(Date.parse(until));
    const resumed = await act(id, 'resume');
    expect(resumed.status).toBe(202);
    expect(resumed.json).toMatchObject({ status: 'active', pause: null });
    expect(Date.parse(String(resumed.json['nextRunAt']))).toBeLessThan(Date.parse(until));
    const again = await act(id, 'resume');
    expect({ status: again.status, code: again.json['code'] }).toEqual({ status: 409, code: 'invalid-state' });
  });

  it('needs no body, and has no next time without an end', async () => {
    const id = await created();
    expect((await act(id, 'pause')).json).toMatchObject({
      status: 'paused',
      nextRunAt: null,
      nextRuns: [],
      pause: { reason: null, until: null },
    });
    expect((await act(id, 'pause', {})).status).toBe(202);
  });

  it.each([
    ['an end gone by', { until: '2001-01-01T00:00:00Z' }, '/until'],
    ['an end without offset', { until: '2099-01-01T00:00:00' }, '/until'],
    ['an end too far away', { until: '2999-01-01T00:00:00Z' }, '/until'],
    ['a reason that is none', { reason: 7 }, '/reason'],
    ['an unknown field', { why: 'x' }, '/why'],
  ])('refuses %s', async (_name, json, expected) => {
    const answer = await act(await created(), 'pause', json);
    expect({ status: answer.status, pointer: pointer(answer) }).toEqual({ status: 422, pointer: expected });
  });
});

describe('run', () => {
  it('starts a flow now, also of a paused schedule, and once for one Idempotency-Key', async () => {
    const id = await created({ tags: { team: 'ops' } });
    await act(id, 'pause');
    const run = () => ask(api, { method: 'POST', path: `/v1/schedules/${id}/run`, headers: { 'idempotency-key': 'run-1' } });
    const [first, second] = [await run(), await run()];
    expect(first.status).toBe(202);
    expect(first.json).toMatchObject({ flow: 'test.one', version: 3, status: 'queued' });
    expect(first.headers.location).toBe(`/v1/flows/${String(first.json['id'])}`);
    expect(second.text).toBe(first.text);
    expect(second.headers['idempotency-replayed']).toBe('true');
    const flow = await ask(api, { path: first.headers.location ?? '' });
    expect(flow.json).toMatchObject({ flow: 'test.one', input: {}, tags: { team: 'ops' } });
    expect(items(await ask(api, { path: `/v1/schedules/${id}/fires` }))).toMatchObject([
      { trigger: 'manual', outcome: 'started', flowId: first.json['id'], firedAt: expect.any(String) },
    ]);
    expect((await read(id)).json).toMatchObject({ status: 'paused', lastRun: { flowId: first.json['id'], status: 'queued' } });
  });

  it('is refused with the reason when the definition has changed', async () => {
    const id = await created();
    await api.database.main.query("UPDATE millrace.schedules SET flow = 'test.strict' WHERE id = $1", [id]);
    const answer = await act(id, 'run');
    expect({ status: answer.status, pointer: pointer(answer) }).toEqual({ status: 422, pointer: '/input/account' });
  });
});

describe('DELETE /v1/schedules/{id}', () => {
  it('answers 204 and then 404, and frees the name', async () => {
    const id = await created({ name: 'short-lived' });
    const remove = () => ask(api, { method: 'DELETE', path: `/v1/schedules/${id}` });
    expect((await remove()).status).toBe(204);
    expect((await remove()).status).toBe(404);
    expect((await read(id)).status).toBe(404);
    expect((await create({ name: 'short-lived' })).status).toBe(201);
  });
});

describe('another workspace', () => {
  it('gets 404 for everything, as for an unknown id', async () => {
    const id = await created();
    const key = await api.newKey({ workspace: 'strangers', role: 'admin' });
    const withoutRequest = ({ text, json }: Answer) => text.replaceAll(String(json['requestId']), 'R').replaceAll(id, 'ID');
    const unknown = '01900000-0000-7000-8000-000000000000';
    for (const route of api.routes.filter((candidate) => candidate.path.startsWith('/v1/schedules/{id}'))) {
      const asked = (scheduleId: string) =>
        ask(api, { method: route.method.toUpperCase(), path: route.path.replace('{id}', scheduleId), key });
      const foreign = await asked(id);
      expect({ route: route.operationId, status: foreign.status }).toEqual({ route: route.operationId, status: 404 });
      expect(withoutRequest(foreign)).toBe(withoutRequest(await asked(unknown)).replaceAll(unknown, 'ID'));
    }
    expect(items(await ask(api, { path: '/v1/schedules', key }))).toEqual([]);
    expect((await read(id)).status).toBe(200);
  });
});
