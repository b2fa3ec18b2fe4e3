// Cancelled flows and what is told of their running phases: seen, and stopped or left behind.
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { PhaseContext } from '@millrace/sdk';
import { cancelFlow, readFlow, type StoredCancellation } from '@millrace/store';
import { eventually } from '@millrace/testing';
import type { FlowEngine } from './create-flow-engine.ts';
import type { RunningPhase } from './running-phases.ts';
import { createEngineFixture, gate, onlyPhase, type EngineFixture } from './test-support/engine-fixture.ts';

let test: EngineFixture;

beforeEach(async () => {
  test = await createEngineFixture();
});

afterEach(async () => {
  await test.close();
});

const untilAborted = (ctx: PhaseContext) => delay(60_000, null, { signal: ctx.signal });
const cancel = (flowId: string) => cancelFlow(test.database, { flowId, workspace: 'default', by: 'someone' });
const receipts = async (flowId: string): Promise<StoredCancellation['phases']> =>
  (await readFlow(test.database.main, { flowId, workspace: 'default' }))?.cancellation?.phases ?? [];
const running = (engine: FlowEngine, count = 1) =>
  eventually(() => {
    expect(engine.running.list()).toHaveLength(count);
  });
const stopReasonOf = (one: RunningPhase) =>
  new Promise<string>((resolve) => {
    one.whenStopped(resolve);
  });
/** The receipts once all have ended. */
const ended = (flowId: string, withinMs = 5_000) =>
  eventually(
    async () => {
      const all = await receipts(flowId);
      if (all.length === 0 || all.some(({ how }) => how === null)) throw new Error(JSON.stringify(all));
      return all;
    },
    { withinMs },
  );

describe('a handler that is told of the cancel', () => {
  it('is seen at once and stopped when it obeys', async () => {
    const engine = await test.engine();
    const flowId = await test.start(test.define({ only: { run: untilAborted } }));
    await running(engine);
    await cancel(flowId);
    expect(await receipts(flowId)).toMatchObject([{ phase: 'only', worker: expect.stringContaining('test:'), seen_at: null, how: null }]);
    engine.running.stopFlow(flowId, 'cancelled');
    expect(await ended(flowId)).toMatchObject([{ how: 'stopped', seen_at: expect.any(Date), ended_at: expect.any(Date) }]);
  });

  it('is seen before it ends, and fenced when it does not end in its time of grace', async () => {
    const engine = await test.engine();
    const goOn = gate();
    const flowId = await test.start(test.define({ only: { run: () => goOn.promise } }));
    await running(engine);
    await cancel(flowId);
    engine.running.stopFlow(flowId, 'cancelled');
    await eventually(async () => {
      expect(await receipts(flowId)).toMatchObject([{ seen_at: expect.any(Date), ended_at: null }]);
    });
    const [told] = await ended(flowId, 8_000);
    expect(told?.how).toBe('fenced');
    expect(Number(told?.ended_at)).toBeGreaterThan(Number(told?.seen_at));
    goOn.resolve();
    expect((await test.read(flowId)).phases).toMatchObject([{ status: 'cancelled', output: null }]);
  }, 15_000);

  it('is told apart from its neighbours in the same flow', async () => {
    const engine = await test.engine();
    const goOn = gate();
    const flowId = await test.start(
      test.define({ quick: { run: () => 1 }, slow: { run: untilAborted }, other: { run: () => goOn.promise } }),
    );
    await eventually(async () => {
      expect((await test.read(flowId)).phases[0]?.status).toBe('completed');
    });
    await running(engine, 2);
    await cancel(flowId);
    engine.running.stopFlow(flowId, 'cancelled');
    goOn.resolve();
    expect((await ended(flowId)).map(({ phase, how }) => [phase, how])).toEqual([
      ['slow', 'stopped'],
      ['other', 'stopped'],
    ]);
  });
});

describe('a cancel that nobody told of', () => {
  it('is seen at the next renewal of the lease, and the handler gets to know that it was one', async () => {
    const engine = await test.engine();
    const reason = gate<unknown>();
    const flowId = await test.start(
      test.define({
        only: {
          run: async (ctx: PhaseContext) => {
            ctx.signal.addEventListener('abort', () => {
              reason.resolve(ctx.signal.reason);
            });
            await untilAborted(ctx);
          },
        },
      }),
    );
    await running(engine);
    await cancel(flowId);
    engine.leaseKeeper.wake();
    expect(await reason.promise).toMatchObject({ reason: 'cancelled' });
    expect(await ended(flowId)).toMatchObject([{ how: 'stopped', seen_at: expect.any(Date) }]);
  });

  it.each<[string, () => unknown]>([
    ['result', () => 'late'],
    [
      'failure',
      () => {
        throw new Error('late');
      },
    ],
  ])('is seen when the %s of its handler is refused', async (_, end) => {
    const engine = await test.engine();
    const goOn = gate();
    const run = async () => {
      await goOn.promise;
      return end();
    };
    const flowId = await test.start(test.define({ only: { run } }));
    await running(engine);
    await cancel(flowId);
    goOn.resolve();
    expect(await ended(flowId)).toMatchObject([{ how: 'stopped', seen_at: expect.any(Date) }]);
    expect((await test.story(flowId)).at(-1)).toBe('flow.cancelled');
  });

  it('is looked for when the message came while the claim was under way', async () => {
    const engine = await test.engine();
    const flowId = await test.start(test.define({ only: { run: untilAborted } }));
    await running(engine);
    const [first] = engine.running.list();
    if (first === undefined) throw new Error('nothing runs');
    await cancel(flowId);
    // As if the message had come between the claim's commit and this moment.
    engine.running.remove(first);
    engine.running.stopFlow(flowId, 'cancelled');
    const late = engine.running.add(first.phase, first);
    expect(await stopReasonOf(late)).toBe('cancelled');
  });
});

describe('a lease that was lost to another worker', () => {
  it('is no cancel', async () => {
    const engine = await test.engine();
    const flowId = await test.start(test.define({ only: { run: untilAborted } }));
    await running(engine);
    const [held] = engine.running.list();
    await test.database.main.query("UPDATE millrace.phases SET fence = fence + 1, lease_owner = 'other' WHERE id = $1", [
      onlyPhase(flowId),
    ]);
    engine.leaseKeeper.wake();
    if (held === undefined) throw new Error('nothing runs');
    expect(await stopReasonOf(held)).toBe('lease-lost');
    // A cancel now is the other's to tell of.
    await cancel(flowId);
    await running(engine, 0);
    expect(await receipts(flowId)).toMatchObject([{ worker: 'other', seen_at: null, ended_at: null }]);
  });
});
