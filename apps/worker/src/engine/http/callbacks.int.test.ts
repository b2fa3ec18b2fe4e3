// Phases whose service answers later: parked without a worker, and ended by whoever has the token, whatever happened to workers meanwhile.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { HttpDefinition } from '@millrace/sdk';
import { completeCallback, failCallback, failOverdueCallbacks } from '@millrace/store';
import { eventually } from '@millrace/testing';
import { createEngineFixture, onlyPhase, type EngineFixture } from '../test-support/engine-fixture.ts';
import { answerWith, startTestService, type TestService } from './test-support/test-service.ts';

const QUICK = { attempts: 3, backoff: { type: 'fixed', delay: 10 } } as const;
let test: EngineFixture;
let service: TestService;

beforeEach(async () => {
  [test, service] = await Promise.all([createEngineFixture(), startTestService()]);
  service.answers(answerWith(202));
});
afterEach(async () => {
  await test.close();
  await service.close();
});

const define = (http: Partial<HttpDefinition['http']> = {}) =>
  test.define({
    call: { retry: QUICK, http: { url: service.url, ...http } },
    use: { needs: ['call'], run: (ctx: { outputs: unknown }) => ctx.outputs },
  });

async function parked(flowId: string): Promise<void> {
  await eventually(async () => {
    const { flow, phases } = await test.read(flowId);
    expect([flow.status, phases[0]?.status]).toEqual(['waiting', 'waiting']);
  });
}

async function tokenOf(flowId: string, index = -1): Promise<string> {
  return eventually(() => {
    const request = service.of(flowId).at(index);
    if (request === undefined) throw new Error('the service was not asked');
    return request.body.callback.token;
  });
}

const complete = async (token: string, output: unknown) => {
  const outcome = await completeCallback(test.database, { token, outputJson: JSON.stringify(output) });
  if (outcome.kind === 'accepted') await test.dispatch(outcome.dispatches);
  return outcome.kind;
};

describe('a phase whose service answers later', () => {
  it('holds no worker, and goes on with what the callback brings', async () => {
    const engine = await test.engine({ concurrency: 1 });
    const flowId = await test.start(define());
    await parked(flowId);
    expect(engine.running.list()).toEqual([]);
    expect((await test.ended(await test.start(test.define({ only: { run: () => 1 } })))).flow.status).toBe('completed');
    expect(await complete(await tokenOf(flowId), { sum: 3 })).toBe('accepted');
    const { flow, phases } = await test.ended(flowId);
    expect([flow.status, phases[0]?.attempts, phases[1]?.output]).toEqual(['completed', 1, { call: { sum: 3 } }]);
    expect((await test.story(flowId)).slice(2, 8)).toEqual([
      'flow.started',
      'phase.started call',
      'phase.waiting call',
      'phase.completed call',
      'phase.queued use',
      'phase.started use',
    ]);
  });

  it('takes a callback that overtakes the answer with 202', async () => {
    await test.engine();
    service.answers((response, { body }) => {
      void complete(body.callback.token, 'early').then(() => {
        answerWith(202)(response, {} as never);
      });
    });
    const flowId = await test.start(define());
    expect(await test.ended(flowId)).toMatchObject({ flow: { status: 'completed' }, phases: [{ output: 'early', attempts: 1 }, {}] });
    expect((await test.story(flowId)).filter((line) => line.endsWith(' call'))).toEqual([
      'phase.queued call',
      'phase.started call',
      'phase.completed call',
    ]);
  });

  it('tries again by its policy when the service reports a failure that may pass', async () => {
    await test.engine();
    const flowId = await test.start(define());
    await parked(flowId);
    const error = { code: 'disk-full', message: 'no room' };
    const outcome = await failCallback(test.database, { token: await tokenOf(flowId), error, retryable: true });
    if (outcome.kind !== 'accepted') throw new Error(outcome.kind);
    expect(outcome.status).toBe('retrying');
    await test.dispatch(outcome.dispatches);
    await eventually(() => {
      expect(service.of(flowId).map(({ body }) => body.attempt)).toEqual([1, 2]);
    });
    await parked(flowId);
    expect(await complete(await tokenOf(flowId), 'second')).toBe('accepted');
    expect((await test.ended(flowId)).phases[0]).toMatchObject({ output: 'second', attempts: 2 });
  });

  it('asks again when no callback comes in time', async () => {
    await test.engine();
    const flowId = await test.start(define({ callbackTimeout: 20 }));
    for (const attempt of [1, 2, 3]) {
      const overdue = await eventually(async () => {
        const found = await failOverdueCallbacks(test.database, 10);
        expect(found.count).toBe(1);
        return found;
      });
      await test.dispatch(overdue.dispatches);
      if (attempt < 3)
        await eventually(() => {
          expect(service.of(flowId)).toHaveLength(attempt + 1);
        });
    }
    expect(await test.ended(flowId)).toMatchObject({
      flow: { status: 'failed', error: { code: 'callback-timeout', phase: 'call' } },
      phases: [{ attempts: 3 }, { status: 'skipped' }],
    });
  });
});

describe('a worker that goes away', () => {
  it('while the phase waits changes nothing', async () => {
    const first = await test.engine();
    const flowId = await test.start(define());
    await parked(flowId);
    await first.drain(100);
    expect(await complete(await tokenOf(flowId), 1)).toBe('accepted');
    await test.engine();
    expect((await test.ended(flowId)).flow.status).toBe('completed');
    expect(service.of(flowId)).toHaveLength(1);
  });

  it('while the request is under way has it sent again, as the same message with the same token', async () => {
    service.answers(() => undefined, answerWith(202));
    const first = await test.engine();
    const flowId = await test.start(define());
    const token = await tokenOf(flowId);
    await first.drain(100);
    await test.engine();
    await parked(flowId);
    const [once, again] = service.of(flowId);
    expect(again?.headers['webhook-id']).toBe(once?.headers['webhook-id']);
    expect(again?.text).toBe(once?.text);
    // The service took the second for a repetition: it works on the first, and answers that one.
    expect(await complete(token, 'first')).toBe('accepted');
    expect((await test.ended(flowId)).phases[0]).toMatchObject({ output: 'first', attempts: 1 });
  });

  it('may be answered before another one sends the request again', async () => {
    service.answers(() => undefined);
    const first = await test.engine();
    const flowId = await test.start(define());
    const token = await tokenOf(flowId);
    await first.drain(100);
    expect((await test.read(flowId)).phases[0]?.status).toBe('queued');
    expect(await complete(token, 'done meanwhile')).toBe('accepted');
    await test.engine();
    expect((await test.ended(flowId)).phases[0]).toMatchObject({ output: 'done meanwhile', attempts: 1 });
    expect(service.of(flowId)).toHaveLength(1);
  });

  it('by death has its phase sent again after its lease, and its token stays good', async () => {
    service.answers(() => undefined, answerWith(202));
    const first = await test.engine();
    const flowId = await test.start(define());
    const token = await tokenOf(flowId);
    // As the reconciler does after a lease has run out; the handler of the first is fenced.
    const lost = await test.database.main.query<{ id: string; generation: number; priority: number }>(
      `UPDATE millrace.phases SET status = 'queued', generation = generation + 1, lease_owner = NULL, due_at = now() + interval '5 s', crashes = crashes + 1
       WHERE id = $1 RETURNING id, generation, priority`,
      [onlyPhase(flowId)],
    );
    first.leaseKeeper.wake();
    await test.dispatch(lost.rows.map((row) => ({ ...row, workspace: 'default', attempts: 3, delayMs: 0 })));
    await parked(flowId);
    expect(service.of(flowId)).toHaveLength(2);
    expect(await complete(token, 'by the old token')).toBe('accepted');
    expect((await test.ended(flowId)).phases[0]).toMatchObject({ output: 'by the old token', attempts: 1 });
  });
});
