// Every cause why a flow does not go on: brought about, named, and cleared. What decides about limits and rates, and what suspends phases, are
// statements of workers that do not run here: their results are written by hand, where it says so.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { EXPLAIN_CAUSES, explainSchema, memberId, type ExplainAnswer } from '@millrace/shared';
import {
  announceWorker,
  claimPhases,
  completePhases,
  createFlows,
  failPhase,
  codeKeys,
  noteAbsent,
  releaseForCode,
  releaseHeld,
  releasePhases,
  removeWorker,
  type NewFlow,
  type NewPhase,
} from '@millrace/store';
import { eventually } from '@millrace/testing';
import { ask, post } from '../test-support/ask.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';

let api: TestApi;
const named = new Set<string>();
const WORKER = 'matrix-worker';
const CODE = { name: 'matrix', version: 1 };

beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());
beforeEach(() => announce());

const sql = (text: string, values: unknown[] = []) => api.database.main.query(text, values);
const announce = (definitions = [CODE]) =>
  announceWorker(api.database.main, {
    id: WORKER,
    host: 'here',
    pid: 1,
    startedAt: new Date(),
    concurrency: 10,
    running: 0,
    stopping: false,
    queues: ['flow-phase'],
    definitions,
  });

type Started = { flowId: string; phaseId: string };

async function start(changes: Partial<NewFlow> = {}, phase: Partial<NewPhase> = {}): Promise<Started> {
  const only = { name: 'only', needs: [], dependants: [], attemptMax: 4, signal: null, waitTimeoutMs: null, ...phase };
  const [made] = await createFlows(api.database.hot, [
    {
      ...CODE,
      workspace: 'default',
      createdBy: 'test',
      inputJson: '{}',
      tags: {},
      priority: 50,
      runAt: null,
      idempotency: null,
      dispatch: true,
      phases: [only],
      respond: () => ({ status: 202, body: {} }),
      ...changes,
    },
  ]);
  if (made?.kind !== 'created') throw new Error('the flow was not accepted');
  return { flowId: made.flowId, phaseId: memberId(made.flowId, 0) };
}

async function explain({ flowId }: Started): Promise<ExplainAnswer> {
  const answer = await ask(api, { path: `/v1/flows/${flowId}/explain` });
  expect(answer.status).toBe(200);
  const explained = explainSchema.parse(answer.json);
  named.add(explained.cause);
  return explained;
}

const causeOf = async (flow: Started) => (await explain(flow)).cause;
const blockers = ({ blockedBy }: ExplainAnswer) => blockedBy.map(({ kind, id }) => `${kind} ${id}`);

async function jobOf({ phaseId }: Started) {
  const found = await sql('SELECT generation FROM millrace.phases WHERE id = $1', [phaseId]);
  return { id: phaseId, generation: (found.rows[0] as { generation: number }).generation };
}

async function claim(flow: Started, leaseMs = 10_000) {
  const [result] = (await claimPhases(api.database.hot, [await jobOf(flow)], { worker: WORKER, leaseMs })).results;
  if (result?.kind !== 'claimed') throw new Error(`not claimed: ${result?.kind ?? ''}`);
  return { id: flow.phaseId, fence: result.phase.fence, worker: WORKER };
}

describe('explain', () => {
  it('names who paused the flow', async () => {
    const flow = await start();
    const until = new Date(Date.now() + 60_000).toISOString();
    await post(api, `/v1/flows/${flow.flowId}/pause`, { json: { reason: 'a look', until } });
    expect(await explain(flow)).toMatchObject({ cause: 'paused', clearsAt: until, detail: expect.stringContaining('a look') });
    await post(api, `/v1/flows/${flow.flowId}/resume`, { json: {} });
    expect(await causeOf(flow)).toBe('in-queue');
  });

  it.each(['workspace', 'everybody'])('names who paused the queue for the %s', async (scope) => {
    const flow = await start();
    await post(api, '/v1/queues/flow-phase/pause', { json: { scope, reason: 'night' } });
    const explained = await explain(flow);
    expect(explained).toMatchObject({ cause: 'queue-paused', clearsAt: null, detail: expect.stringContaining('night') });
    expect(blockers(explained)[0]).toBe('queue flow-phase');
    await post(api, '/v1/queues/flow-phase/resume', { json: { scope } });
    expect(await causeOf(flow)).toBe('in-queue');
  });

  it('names the start time', async () => {
    const runAt = new Date(Date.now() + 60_000).toISOString();
    const flow = await start({ runAt });
    expect(await explain(flow)).toMatchObject({ cause: 'scheduled', clearsAt: runAt });
    await sql('UPDATE millrace.flows SET run_at = now() WHERE id = $1', [flow.flowId]);
    await sql('UPDATE millrace.phases SET due_at = now() WHERE id = $1', [flow.phaseId]);
    await releaseHeld(api.database.hot, 10);
    expect(await causeOf(flow)).toBe('in-queue');
  });

  it('names the flows that hold the concurrency key, and the place in line', async () => {
    const keyed = { extras: { concurrency: { key: 'account', limit: 1 } } };
    const [holder, second, third] = [await start(keyed), await start(keyed), await start(keyed)];
    // Letting flows in is the dispatching side's work.
    const admit = async ({ flowId, phaseId }: Started) => {
      await sql('UPDATE millrace.flows SET admitted = true WHERE id = $1', [flowId]);
      await sql('UPDATE millrace.phases SET held = NULL WHERE id = $1', [phaseId]);
    };
    await admit(holder);
    const explained = await explain(third);
    expect(explained).toMatchObject({ cause: 'limit-full', detail: expect.stringContaining('number 2 in line') });
    expect(blockers(explained)).toEqual(['concurrency-key account', `flow ${holder.flowId}`]);
    await admit(second);
    await admit(third);
    expect(await causeOf(third)).toBe('in-queue');
  });

  it('names the rate limit and its next token', async () => {
    const flow = await start({}, { rateKey: 'mail' });
    // Giving out tokens is the dispatching side's work.
    await sql(`INSERT INTO millrace.rate_limits (workspace, key, windows) VALUES ('default', 'mail', '[{"max":5,"perMs":60000}]')`);
    await sql("UPDATE millrace.admissions SET next_at = now() + interval '20 seconds' WHERE key = 'mail'");
    const explained = await explain(flow);
    expect(explained).toMatchObject({ cause: 'rate-limited', clearsAt: expect.any(String), detail: expect.stringContaining('5 per 60 s') });
    await sql('UPDATE millrace.phases SET held = NULL WHERE id = $1', [flow.phaseId]);
    expect(await causeOf(flow)).toBe('in-queue');
  });

  it('names the signal and its time-out', async () => {
    const flow = await start({}, { signal: 'go', waitTimeoutMs: 60_000 });
    const explained = await explain(flow);
    expect(explained).toMatchObject({ cause: 'waiting-for-signal', clearsAt: expect.any(String) });
    expect(blockers(explained)).toEqual(['signal go', `phase ${flow.phaseId}`]);
    await post(api, `/v1/flows/${flow.flowId}/signals/go`, { json: true });
    expect(await causeOf(flow)).toBe('finished');
  });

  it.each([
    ['sleeping', { kind: 'time' }],
    ['waiting-for-signal', { kind: 'signal', names: ['approved', 'refused'] }],
    ['waiting-for-callback', { kind: 'callback' }],
  ] as const)('names what a suspended phase waits for: %s', async (cause, awaits) => {
    const flow = await start();
    await claim(flow);
    // Suspending a phase and waking it is the engine's work.
    await sql(
      "/* forged */ UPDATE millrace.phases SET status = 'waiting', awaits = $2, lease_owner = NULL, due_at = now() + interval '1 minute' WHERE id = $1",
      [flow.phaseId, awaits],
    );
    expect(await explain(flow)).toMatchObject({ cause, clearsAt: expect.any(String) });
    await sql("UPDATE millrace.phases SET status = 'queued', awaits = NULL, dispatched = false, due_at = NULL WHERE id = $1", [
      flow.phaseId,
    ]);
    expect(await causeOf(flow)).toBe('in-queue');
  });

  it('names the children that are open', async () => {
    const flow = await start();
    await claim(flow);
    const parent = { phaseId: flow.phaseId, run: 1, policy: 'fail', awaited: true, depth: 1 } as const;
    const [one, two] = [
      await start({ extras: { parent: { ...parent, key: 'a' } } }),
      await start({ extras: { parent: { ...parent, key: 'b' } } }),
    ];
    await sql("/* forged */ UPDATE millrace.phases SET status = 'waiting', awaits = $2, lease_owner = NULL, due_at = NULL WHERE id = $1", [
      flow.phaseId,
      { kind: 'children', count: 2 },
    ]);
    const explained = await explain(flow);
    expect(explained).toMatchObject({ cause: 'waiting-for-children', detail: expect.stringContaining('2 child flows') });
    expect(blockers(explained)).toEqual(expect.arrayContaining([`flow ${one.flowId}`, `flow ${two.flowId}`]));
    await completePhases(api.database.hot, [{ ...(await claim(one)), outputJson: '1' }], { dispatch: false });
    expect(blockers(await explain(flow))).toEqual([`flow ${two.flowId}`, `phase ${flow.phaseId}`]);
    await post(api, `/v1/flows/${flow.flowId}/cancel`, { json: {} });
    expect(await causeOf(flow)).toBe('finished');
  });

  it('names the error of the last attempt and the time of the next', async () => {
    const flow = await start();
    await failPhase(api.database, { ...(await claim(flow)), error: { code: 'Busy', message: 'try later' }, retryDelayMs: 60_000 });
    const explained = await explain(flow);
    expect(explained).toMatchObject({ cause: 'retrying', clearsAt: expect.any(String) });
    expect(explained.detail).toContain('attempt 1 of 4 with Busy: try later');
    await sql('UPDATE millrace.phases SET due_at = now() WHERE id = $1', [flow.phaseId]);
    expect(await causeOf(flow)).toBe('in-queue');
    await claim(flow);
    expect(await causeOf(flow)).toBe('running');
  });

  it('names the version that no live worker knows, and which ones are known', async () => {
    const flow = await start();
    await announce([{ name: CODE.name, version: 2 }]);
    const explained = await explain(flow);
    expect(explained).toMatchObject({ cause: 'no-worker', blockedBy: [{ kind: 'definition', id: 'matrix@1' }] });
    expect(explained.detail).toContain('hold version 2');
    await removeWorker(api.database.main, WORKER);
    expect((await explain(flow)).detail).toContain('No worker is alive');
    const job = await jobOf(flow);
    const { absent } = await claimPhases(api.database.hot, [job], { worker: WORKER, leaseMs: 10_000, holds: codeKeys([]) });
    await noteAbsent(api.database.main, absent);
    expect(await causeOf(flow)).toBe('no-worker');
    await announce();
    await releaseForCode(api.database.main, [CODE], { releaseMax: 10, takeMax: 0 });
    expect(await causeOf(flow)).toBe('in-queue');
  });

  it('names a worker that has fallen silent as none', async () => {
    const flow = await start();
    await sql("UPDATE millrace.workers SET seen_at = now() - interval '16 seconds' WHERE id = $1", [WORKER]);
    expect(await causeOf(flow)).toBe('no-worker');
    await announce();
    expect(await causeOf(flow)).toBe('in-queue');
  });

  it('names Redis when it is away', async () => {
    const flow = await start();
    api.redis.disconnect();
    await eventually(async () => {
      expect(await causeOf(flow)).toBe('redis-away');
    });
    await api.redis.connect();
    await eventually(async () => {
      expect(await causeOf(flow)).toBe('in-queue');
    });
  });

  it('names the time until which an interrupted phase is put off, and why', async () => {
    const flow = await start();
    const { id, fence } = await claim(flow);
    await releasePhases(api.database.hot, [{ id, fence, outcome: 'interrupted', reason: 'lock-held', delayMs: 30_000 }]);
    const explained = await explain(flow);
    expect(explained).toMatchObject({ cause: 'waiting-for-time', clearsAt: expect.any(String) });
    expect(explained.detail).toContain('lock-held');
    await sql('UPDATE millrace.phases SET due_at = now() WHERE id = $1', [flow.phaseId]);
    expect(await causeOf(flow)).toBe('in-queue');
  });

  it('counts what goes before it, and not what another workspace has', async () => {
    const own = { workspace: 'line', dispatch: false };
    const key = await api.newKey({ workspace: 'line', role: 'viewer' });
    const detail = async ({ flowId }: Started) => String((await ask(api, { path: `/v1/flows/${flowId}/explain`, key })).json['detail']);
    await start({ ...own, workspace: 'other', priority: 1 });
    const [first, urgent, last] = [await start({ ...own, dispatch: true }), await start({ ...own, priority: 1 }), await start(own)];
    expect(await detail(first)).toContain('is in the queue; 0 phases of this workspace before it');
    expect(await detail(urgent)).toContain('in PostgreSQL, waiting for a place in the queue; 0 phases');
    expect(await detail(last)).toContain('2 phases of this workspace before it');
  });

  it('names the worker that runs it, and one that has lost it', async () => {
    const flow = await start();
    const { id, fence, worker } = await claim(flow);
    const explained = await explain(flow);
    expect(explained).toMatchObject({ cause: 'running', clearsAt: null });
    expect(blockers(explained)).toEqual([`phase ${id}`, `worker ${worker}`]);
    await sql("UPDATE millrace.phases SET due_at = now() + interval '2 seconds' WHERE id = $1", [id]);
    expect(await explain(flow)).toMatchObject({ cause: 'lost-lease', clearsAt: expect.any(String) });
    await sql("UPDATE millrace.phases SET due_at = now() - interval '1 second' WHERE id = $1", [id]);
    expect(await causeOf(flow)).toBe('lost-lease');
    await releasePhases(api.database.hot, [{ id, fence, outcome: 'lost', reason: 'lease-expired', delayMs: 0 }]);
    expect(await causeOf(flow)).toBe('in-queue');
    await completePhases(api.database.hot, [{ ...(await claim(flow)), outputJson: '1' }], { dispatch: true });
    expect(await explain(flow)).toMatchObject({ cause: 'finished', blockedBy: [], clearsAt: null });
  });

  it('has named every cause there is', () => {
    expect([...named].toSorted()).toEqual([...EXPLAIN_CAUSES].toSorted());
  });
});
