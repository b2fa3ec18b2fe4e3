// Flows whose time is over, with a worker that runs one of them. The end of a flow's time is set by hand here.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger } from '@millrace/process';
import { createSubscriberConnection, createSubscriptions, type RedisClient } from '@millrace/redis';
import type { PhaseContext } from '@millrace/sdk';
import { createEventPublisher } from '../engine/event-publisher.ts';
import { createEngineFixture, gate, type EngineFixture } from '../engine/test-support/engine-fixture.ts';
import { createControlListener } from './control-listener.ts';
import { endOverdueFlows } from './overdue-flows.ts';

const log = createLogger({ name: 'test', level: 'silent' });
let test: EngineFixture;
let subscriber: RedisClient;

beforeEach(async () => {
  test = await createEngineFixture();
  subscriber = createSubscriberConnection({ url: process.env['REDIS_URL'] ?? '', name: 'test-overdue', log });
  await subscriber.connect();
});
afterEach(async () => {
  subscriber.disconnect();
  await test.close();
});

const pass = (limit = 10) =>
  endOverdueFlows(
    { database: test.database, publisher: createEventPublisher({ updates: test.updates, log }), updates: test.updates, log },
    limit,
  );
const set = (flowId: string, assignments: string) =>
  test.database.main.query(`UPDATE millrace.flows SET ${assignments} WHERE id = $1`, [flowId]);

describe('endOverdueFlows', () => {
  it('stops the handler of a flow that takes too long, whose result is refused', async () => {
    const [begun, stopped] = [gate(), gate<unknown>()];
    const name = test.define({
      slow: {
        run: async (ctx: PhaseContext<never>) => {
          begun.resolve();
          await new Promise((resolve) => {
            ctx.signal.addEventListener('abort', resolve);
          });
          stopped.resolve(ctx.signal.reason);
          return 'too late';
        },
      },
      after: { needs: ['slow'], run: () => null },
    });
    const engine = await test.engine();
    const listener = createControlListener({
      subscriptions: createSubscriptions(subscriber),
      keys: test.keys,
      running: engine.running,
      onWaiting: () => undefined,
      log,
    });
    await listener.start();
    const flowId = await test.start(name);
    await begun.promise;
    await set(flowId, "timeout_ms = 1, due_at = now() - interval '1 second'");
    expect(await pass()).toBe(1);
    expect(await stopped.promise).toMatchObject({ reason: 'cancelled' });
    const { flow, phases } = await test.ended(flowId);
    expect([flow.status, flow.error?.code, phases.map((phase) => phase.status)]).toEqual(['failed', 'timeout', ['cancelled', 'cancelled']]);
    expect((await test.story(flowId)).at(-1)).toBe('flow.failed');
    expect(await pass()).toBe(0);
    await listener.stop(100);
  });

  it('fails what has expired, in passes that are bounded', async () => {
    const name = test.define({ only: { run: () => null } });
    const ids = [await test.start(name), await test.start(name), await test.start(name)];
    for (const id of ids) await set(id, "expires_at = now() - interval '1 second', due_at = now() - interval '1 second'");
    expect([await pass(2), await pass(2), await pass(2)]).toEqual([2, 1, 0]);
    expect(await Promise.all(ids.map(async (id) => (await test.read(id)).flow.error?.code))).toEqual(['expired', 'expired', 'expired']);
  });
});
