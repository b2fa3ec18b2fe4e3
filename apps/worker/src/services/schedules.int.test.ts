// The loop that fires schedules, several of them on one database: to the moment, once, and through overlaps and restarts.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger, type Loop } from '@millrace/process';
import { createJobDispatcher } from '@millrace/queue';
import { createFlowPlanner, createFlowRegistry, defineFlow } from '@millrace/sdk';
import { createDatabase, createSchedule, type NewSchedule } from '@millrace/store';
import { eventually } from '@millrace/testing';
import { z } from 'zod';
import { createEventPublisher } from '../engine/event-publisher.ts';
import { createEngineFixture, gate, type EngineFixture } from '../engine/test-support/engine-fixture.ts';
import { createFlowDispatcher } from './dispatcher.ts';
import { createSchedulePlan } from './plan-schedule.ts';
import { createSchedules } from './schedules.ts';

/** Other tests keep the machine busy, and a cancelled handler without a listener learns of it only from its lease. */
const PATIENCE = { withinMs: 15_000 };
const TEST_MS = 30_000;
const log = createLogger({ name: 'test', level: 'silent' });
let test: EngineFixture;
let running: Loop[];
let closing: (() => Promise<void>)[];
let woken: number;
let fired: Record<string, number>;

beforeEach(async () => {
  test = await createEngineFixture();
  running = [];
  closing = [];
  woken = 0;
  fired = {};
});

afterEach(async () => {
  await Promise.all(running.map((loop) => loop.stop(2_000)));
  await Promise.all(closing.map((close) => close()));
  await test.close();
});

const flows = createFlowRegistry([
  defineFlow({ name: 'flow-1', version: 1, input: z.object({ who: z.string() }), phases: { only: { run: () => null } } }),
]);

/** One process more that fires schedules. */
async function startLoop(): Promise<Loop> {
  const database = createDatabase({ url: test.url, name: 'test-schedules', onError: () => undefined });
  const loop = createSchedules({
    database,
    publisher: createEventPublisher({ updates: test.updates, log }),
    updates: test.updates,
    knownFlows: ['flow-1'],
    plan: createSchedulePlan(createFlowPlanner(flows)),
    wakeDispatcher: () => {
      woken += 1;
    },
    log,
    onFire: ({ outcome, count }) => {
      fired[outcome] = (fired[outcome] ?? 0) + count;
    },
    onPass: () => undefined,
  });
  closing.push(() => database.close());
  running.push(loop);
  await loop.start();
  return loop;
}

let made = 0;
async function schedule(changes: Partial<NewSchedule> = {}): Promise<string> {
  made += 1;
  const created = await createSchedule(test.database, {
    workspace: 'default',
    createdBy: 'test',
    name: `schedule ${made}`,
    flow: 'flow-1',
    inputJson: '{"who":"world"}',
    tags: {},
    cron: `0 ${(new Date().getUTCHours() + 12) % 24} * * *`,
    timezone: 'UTC',
    overlap: 'allow',
    catchUp: 'none',
    idempotency: null,
    respond: ({ id }) => ({ status: 201, body: { id } }),
    ...changes,
  });
  if (created.kind !== 'created') throw new Error(`the schedule was ${created.kind}`);
  return (created.body as { id: string }).id;
}

const dueIn = (ids: readonly string[], interval: string) =>
  test.database.main.query(
    "UPDATE millrace.schedules SET next_at = date_trunc('milliseconds', now() + $2::interval) WHERE id = ANY($1::uuid[])",
    [ids, interval],
  );
const flowsOf = async (id: string) =>
  (
    await test.database.main.query<{ id: string; status: string; lateMs: string }>(
      `SELECT f.id, f.status, extract(epoch FROM f.created_at - x.due_at) * 1000 AS "lateMs"
       FROM millrace.flows f JOIN millrace.schedule_fires x ON x.flow_id = f.id WHERE f.schedule_id = $1 ORDER BY f.id`,
      [id],
    )
  ).rows;
const outcomes = async (id: string) =>
  (
    await test.database.main.query<{ outcome: string }>(
      'SELECT outcome FROM millrace.schedule_fires WHERE schedule_id = $1 ORDER BY due_at',
      [id],
    )
  ).rows.map((row) => row.outcome);

describe('several loops on one database', () => {
  it(
    'fire every time once and on time, and wake the dispatcher',
    async () => {
      const ids = await Promise.all(Array.from({ length: 60 }, () => schedule()));
      await Promise.all([startLoop(), startLoop(), startLoop(), startLoop()]);
      await dueIn(ids, '1500 milliseconds');
      await eventually(async () => {
        for (const id of ids) expect(await outcomes(id)).toEqual(['started']);
      }, PATIENCE);
      const all = (await Promise.all(ids.map(flowsOf))).flat();
      expect(all).toHaveLength(60);
      for (const flow of all) expect(Number(flow.lateMs)).toBeGreaterThanOrEqual(0);
      expect(Math.min(...all.map((flow) => Number(flow.lateMs)))).toBeLessThan(500);
      expect(fired).toEqual({ started: 60 });
      expect(woken).toBeGreaterThan(0);
    },
    TEST_MS,
  );

  it(
    'report what nobody was there to fire, and go on',
    async () => {
      const id = await schedule();
      await dueIn([id], '-5 days');
      await Promise.all([startLoop(), startLoop()]);
      await eventually(async () => {
        expect((await outcomes(id)).length).toBeGreaterThanOrEqual(5);
      }, PATIENCE);
      expect(fired).toEqual({ missed: (await outcomes(id)).length });
      await dueIn([id], '0');
      await eventually(async () => {
        expect(await outcomes(id)).toContain('started');
      }, PATIENCE);
    },
    TEST_MS,
  );
});

describe('overlap', () => {
  it(
    'cancels what runs and starts anew with `cancel-previous`',
    async () => {
      const handlers = gate();
      test.define({
        only: {
          run: (ctx) => {
            ctx.signal.addEventListener('abort', () => {
              handlers.resolve();
            });
            return handlers.promise;
          },
        },
      });
      await test.engine();
      const id = await schedule({ overlap: 'cancel-previous' });
      await dispatching();
      await dueIn([id], '0');
      await Promise.all([startLoop(), startLoop()]);
      await eventually(async () => {
        expect((await flowsOf(id)).map(({ status }) => status)).toEqual(['running']);
      }, PATIENCE);
      await dueIn([id], '0');
      await eventually(async () => {
        expect((await flowsOf(id)).map(({ status }) => status)).toEqual(['cancelled', 'completed']);
      }, PATIENCE);
      const [first] = await flowsOf(id);
      expect((await test.story(first?.id ?? '')).at(-1)).toBe('flow.cancelled');
    },
    TEST_MS,
  );

  it(
    'starts what waited when the flow before has ended, though every loop was restarted meanwhile',
    async () => {
      const handlers = gate();
      test.define({ only: { run: () => handlers.promise } });
      await test.engine();
      await dispatching();
      const id = await schedule({ overlap: 'queue' });
      await dueIn([id], '0');
      const before = await startLoop();
      await eventually(async () => {
        expect((await flowsOf(id)).map(({ status }) => status)).toEqual(['running']);
      }, PATIENCE);
      await dueIn([id], '0');
      await eventually(async () => {
        expect(await outcomes(id)).toEqual(['started', 'queued']);
      }, PATIENCE);
      await before.stop(2_000);
      handlers.resolve();
      await eventually(async () => {
        expect((await flowsOf(id)).map(({ status }) => status)).toEqual(['completed']);
      }, PATIENCE);
      await startLoop();
      await eventually(async () => {
        expect((await flowsOf(id)).map(({ status }) => status)).toEqual(['completed', 'completed']);
      }, PATIENCE);
    },
    TEST_MS,
  );

  /** What moves the flows from the backlog to the engine. */
  async function dispatching(): Promise<void> {
    const dispatcher = createJobDispatcher({
      url: process.env['REDIS_URL'] ?? '',
      name: 'test-schedules',
      log,
      prefix: test.keys.queuePrefix(),
    });
    const loop = createFlowDispatcher({ database: test.database, dispatcher, windowMax: 100, log, onPass: () => undefined });
    running.push(loop);
    closing.push(() => dispatcher.close());
    await loop.start();
  }
});

describe('a definition that has changed', () => {
  it(
    'fails the fire with the reason, and the schedule stays',
    async () => {
      const [wrong, gone] = [await schedule({ inputJson: '{"who":7}' }), await schedule({ flow: 'gone' })];
      await startLoop();
      await dueIn([wrong, gone], '-40 seconds');
      const reasons = async (id: string) =>
        (
          await test.database.main.query<{ outcome: string; reason: string; next: boolean }>(
            'SELECT x.outcome, x.reason, s.next_at > now() AS next FROM millrace.schedule_fires x JOIN millrace.schedules s ON s.id = x.schedule_id WHERE s.id = $1',
            [id],
          )
        ).rows;
      await eventually(async () => {
        expect(await reasons(wrong)).toEqual([
          { outcome: 'failed', reason: expect.stringMatching(/does not fit flow flow-1: \/who /), next: true },
        ]);
        expect(await reasons(gone)).toEqual([{ outcome: 'failed', reason: 'no flow definition has the name gone', next: true }]);
      }, PATIENCE);
    },
    TEST_MS,
  );
});
