// Pausing flows and queues over HTTP, and looking at queues, workers and jobs.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jobSchema, queuePageSchema, workerPageSchema } from '@millrace/shared';
import { announceWorker, claimPhases } from '@millrace/store';
import { ask, post, type Answer } from '../test-support/ask.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';

let api: TestApi;
let tenant: string;

beforeAll(async () => {
  api = await startTestApi();
  tenant = await api.newKey({ workspace: 'tenant', role: 'admin' });
});
afterAll(() => api.stop());

const NO_ID = '01900000-0000-7000-8000-000000000000';
const hence = (ms: number) => new Date(Date.now() + ms).toISOString();
const start = async (body: object = {}) =>
  String((await post(api, '/v1/flows', { json: { flow: 'test.chain', input: {}, ...body } })).json['id']);
const act = (path: string, json: object = {}, key?: string) => post(api, path, { json, ...(key === undefined ? {} : { key }) });
const problem = (answer: Answer) => ({ status: answer.status, code: answer.json['code'], detail: answer.json['detail'] });
const firstPhase = (flowId: string) => `${flowId.slice(0, 32)}0001`;
type Pause = { scope?: string; by: string; reason: string | null; at: string; until: string | null };
const queue = async (key?: string, name = 'flow-phase') => {
  const answer = await ask(api, { path: '/v1/queues', ...(key === undefined ? {} : { key }) });
  const page = queuePageSchema.parse(answer.json);
  expect(page.items.map((item) => item.name)).toEqual(['flow-phase', 'data-import']);
  const found = page.items.find((item) => item.name === name);
  if (found === undefined) throw new Error(name);
  return found;
};

describe('POST /v1/flows/{id}/pause and resume', () => {
  it('pause a flow with owner, reason and end, show it, and let it go on', async () => {
    const id = await start();
    const until = hence(60_000);
    const paused = await act(`/v1/flows/${id}/pause`, { reason: 'a look', until });
    expect([paused.status, paused.json['status'], paused.headers.location]).toEqual([202, 'paused', `/v1/flows/${id}`]);
    const pause = paused.json['pause'] as Pause;
    expect(pause).toEqual({ by: expect.any(String), reason: 'a look', at: expect.stringMatching(/Z$/), until });
    expect((await ask(api, { path: `/v1/flows/${id}` })).json['pause']).toEqual(pause);
    expect(problem(await act(`/v1/flows/${id}/pause`))).toEqual({ status: 409, code: 'invalid-state', detail: 'The flow is paused.' });
    const resumed = await ask(api, { method: 'POST', path: `/v1/flows/${id}/resume` });
    expect([resumed.status, resumed.json['status'], 'pause' in resumed.json]).toEqual([202, 'queued', false]);
    expect(problem(await act(`/v1/flows/${id}/resume`))).toEqual({ status: 409, code: 'invalid-state', detail: 'The flow is queued.' });
    const events = (await ask(api, { path: `/v1/flows/${id}/events` })).json['items'] as { type: string; data: object }[];
    expect(events.slice(-2)).toMatchObject([
      { type: 'flow.paused', data: { by: pause.by, reason: 'a look', until } },
      { type: 'flow.resumed', data: { by: pause.by, reason: 'a look', until } },
    ]);
  });

  it('need no body, and refuse an end that is past or no time, and unknown fields', async () => {
    const id = await start();
    for (const [json, code] of [
      [{ until: hence(-1_000) }, 'validation'],
      [{ until: '9999-01-01T00:00:00Z' }, 'validation'],
      [{ until: 'tomorrow' }, 'validation'],
      [{ reason: 'x'.repeat(501) }, 'validation'],
      [{ why: 'x' }, 'unknown-field'],
    ] as const) {
      const answer = await act(`/v1/flows/${id}/pause`, json);
      expect([answer.status, answer.json['code']]).toEqual([422, code]);
    }
    expect((await ask(api, { method: 'POST', path: `/v1/flows/${id}/pause` })).status).toBe(202);
    expect((await act(`/v1/flows/${NO_ID}/pause`)).status).toBe(404);
    expect((await act(`/v1/flows/${id}/resume`, {}, tenant)).status).toBe(404);
  });
});

describe('/v1/queues', () => {
  it('count the work of the caller and of nobody else', async () => {
    const before = (await queue()).counts;
    const foreign = await queue(tenant);
    await start({ runAt: hence(3_600_000) });
    const after = await queue();
    expect(after.counts.scheduled).toBe(before.scheduled + 1);
    expect(foreign.counts).toEqual((await queue(tenant)).counts);
    expect([after.perMinute, after.paused]).toEqual([{ completed: 0, failed: 0 }, false]);
  });

  it('are paused for the own workspace, and resumed', async () => {
    const until = hence(60_000);
    const paused = await act('/v1/queues/flow-phase/pause', { reason: 'night', until }, tenant);
    expect(paused.status).toBe(202);
    expect(paused.json['pauses']).toEqual([{ scope: 'workspace', by: expect.any(String), reason: 'night', at: expect.any(String), until }]);
    expect([(await queue(tenant)).paused, (await queue()).paused, (await queue(tenant, 'data-import')).paused]).toEqual([
      true,
      false,
      false,
    ]);
    const resumed = await act('/v1/queues/flow-phase/resume', {}, tenant);
    expect([resumed.status, resumed.json['pauses']]).toEqual([202, []]);
    expect(problem(await act('/v1/queues/flow-phase/resume', {}, tenant))).toEqual({
      status: 409,
      code: 'invalid-state',
      detail: 'The queue is not paused for this workspace.',
    });
  });

  it('are paused for everybody only from the workspace default', async () => {
    const everybody = { scope: 'everybody' };
    for (const action of ['pause', 'resume'])
      expect(problem(await act(`/v1/queues/data-import/${action}`, everybody, tenant))).toMatchObject({
        status: 403,
        code: 'insufficient-role',
      });
    const viewer = await api.newKey({ workspace: 'default', role: 'viewer' });
    expect((await act('/v1/queues/data-import/pause', everybody, viewer)).status).toBe(403);
    const operator = await api.newKey({ workspace: 'default', role: 'operator' });
    expect((await act('/v1/queues/data-import/pause', everybody, operator)).status).toBe(202);
    expect((await queue(tenant, 'data-import')).pauses).toMatchObject([{ scope: 'everybody' }]);
    expect((await act('/v1/queues/data-import/resume', everybody, operator)).status).toBe(202);
    expect((await queue(tenant, 'data-import')).paused).toBe(false);
  });

  it('that do not exist are not found, whatever is asked of them', async () => {
    for (const action of ['pause', 'resume']) expect((await act(`/v1/queues/flow-phases/${action}`)).status).toBe(404);
    expect((await act('/v1/queues/flow-phase/pause', { scope: 'all' })).status).toBe(422);
  });
});

describe('GET /v1/workers', () => {
  it('shows workers with what they run, a page at a time, and only to the workspace default', async () => {
    const flowId = await start();
    for (const id of ['w-1', 'w-2'])
      await announceWorker(api.database.main, {
        id,
        host: 'here',
        pid: 1,
        startedAt: new Date(),
        concurrency: 10,
        running: 1,
        stopping: id === 'w-2',
        queues: ['flow-phase'],
        definitions: [{ name: 'test.chain', version: 3 }],
      });
    await claimPhases(api.database.hot, [{ id: firstPhase(flowId), generation: 1 }], { worker: 'w-1', leaseMs: 10_000 });
    const first = workerPageSchema.parse((await ask(api, { path: '/v1/workers?limit=1' })).json);
    expect(first.items).toMatchObject([
      {
        id: 'w-1',
        status: 'alive',
        definitions: [{ name: 'test.chain', version: 3 }],
        work: [{ flowId, name: 'first', queue: 'flow-phase' }],
      },
    ]);
    const second = workerPageSchema.parse((await ask(api, { path: `/v1/workers?limit=1&cursor=${first.nextCursor ?? ''}` })).json);
    expect({ ids: second.items.map(({ id, status }) => [id, status]), next: second.nextCursor }).toEqual({
      ids: [['w-2', 'stopping']],
      next: null,
    });
    expect(problem(await ask(api, { path: '/v1/workers', key: tenant }))).toMatchObject({ status: 403, code: 'insufficient-role' });
    expect((await ask(api, { path: '/v1/workers', key: await api.newKey({ workspace: 'default', role: 'viewer' }) })).status).toBe(200);
  });
});

describe('GET /v1/jobs/{id}', () => {
  it('finds a job by its own id and by its phase, with its attempts', async () => {
    const flowId = await start({ priority: 7 });
    const id = firstPhase(flowId);
    expect(jobSchema.parse((await ask(api, { path: `/v1/jobs/${id}` })).json)).toMatchObject({
      id: `${id}-1`,
      queue: 'flow-phase',
      state: 'queued',
      flowId,
      flow: 'test.chain',
      phase: 'first',
      priority: 7,
      attemptsUsed: 0,
      worker: null,
      startedAt: null,
    });
    await api.database.main.query(
      `INSERT INTO millrace.attempts (phase_id, fence, workspace, attempt, run, worker, outcome, error, started_at) VALUES ($1, 1, 'default', 1, 1, 'w', 'failed', '{"code":"E","message":"no","stack":"secret"}', now())`,
      [id],
    );
    await api.database.main.query(
      "/* forged */ UPDATE millrace.phases SET generation = 2, status = 'retrying', attempts = 1, due_at = now() + interval '1 minute' WHERE id = $1",
      [id],
    );
    const latest = await ask(api, { path: `/v1/jobs/${id}-2` });
    expect(latest.json).toMatchObject({
      state: 'delayed',
      attempts: [{ attempt: 1, outcome: 'failed', error: { code: 'E', message: 'no' } }],
    });
    expect(latest.text).not.toContain('secret');
    expect((await ask(api, { path: `/v1/jobs/${id}-1` })).json['state']).toBe('superseded');
  });

  it('tells nothing of jobs that are not there, or not yet, or of another workspace', async () => {
    const id = firstPhase(await start());
    for (const path of [`/v1/jobs/${id}-9`, `/v1/jobs/${id}-0`, `/v1/jobs/${NO_ID}`, '/v1/jobs/x'])
      expect((await ask(api, { path })).status).toBe(404);
    const without = (answer: Answer) =>
      answer.text.replaceAll(String(answer.json['requestId']), '').replaceAll(id, '').replaceAll(NO_ID, '');
    const [foreign, unknown] = [
      await ask(api, { path: `/v1/jobs/${id}`, key: tenant }),
      await ask(api, { path: `/v1/jobs/${NO_ID}`, key: tenant }),
    ];
    expect([foreign.status, without(foreign)]).toEqual([404, without(unknown)]);
  });
});
