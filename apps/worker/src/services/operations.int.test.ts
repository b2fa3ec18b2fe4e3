// Operations carried out for real: replays that feel their way, bulk actions, purges.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger, type Loop } from '@millrace/process';
import { createJobDispatcher, type JobDispatcher } from '@millrace/queue';
import { createSubscriberConnection, createSubscriptions } from '@millrace/redis';
import {
  createFlows,
  createOperation,
  incidentIds,
  listIncidents,
  readOperation,
  type NewFlow,
  type NewOperation,
  type StoredOperation,
} from '@millrace/store';
import { eventually } from '@millrace/testing';
import { createEventPublisher } from '../engine/event-publisher.ts';
import { createEngineFixture, onlyPhase, type EngineFixture } from '../engine/test-support/engine-fixture.ts';
import { createControlListener } from './control-listener.ts';
import { createFlowDispatcher } from './dispatcher.ts';
import { createOperations } from './operations.ts';

const log = createLogger({ name: 'test', level: 'silent' });
let test: EngineFixture;
let dispatcher: JobDispatcher;
let running: Loop[];

beforeEach(async () => {
  test = await createEngineFixture();
  dispatcher = createJobDispatcher({ url: process.env['REDIS_URL'] ?? '', name: 'test-operations', log, prefix: test.keys.queuePrefix() });
  running = [];
  await eventually(() => {
    expect(dispatcher.isReady()).toBe(true);
  });
});

afterEach(async () => {
  await Promise.all(running.map((loop) => loop.stop(5_000)));
  await dispatcher.close();
  await test.close();
});

async function startServices(): Promise<void> {
  const flowDispatcher = createFlowDispatcher({ database: test.database, dispatcher, windowMax: 500, log, onPass: () => undefined });
  const operations = createOperations({
    database: test.database,
    publisher: createEventPublisher({ updates: test.updates, log }),
    updates: test.updates,
    workerId: 'test',
    log,
    onPass: () => undefined,
  });
  running.push(flowDispatcher, operations);
  await Promise.all(running.map((loop) => loop.start()));
}

const sql = async <Row extends object>(text: string, values: unknown[] = []) => (await test.database.main.query<Row>(text, values)).rows;

async function operate(changes: Partial<NewOperation>): Promise<string> {
  const created = await createOperation(
    test.database,
    {
      workspace: 'default',
      createdBy: 'tester',
      kind: 'replay',
      selection: { asked: {} },
      incidents:
        changes.kind === 'replay' || changes.kind === 'purge' ? await incidentIds(test.database.main, { workspace: 'default' }) : null,
      ratePerSecond: 1_000,
      total: null,
      canary: false,
      ...changes,
    },
    { idempotency: null, answer: (stored) => ({ status: 202, body: stored.id }) },
  );
  if (created.kind !== 'created') throw new Error(created.kind);
  return String(created.body);
}

async function endOf(id: string, withinMs = 60_000): Promise<StoredOperation> {
  return eventually(
    async () => {
      const operation = await readOperation(test.database.main, { id, workspace: 'default' });
      if (operation === undefined || operation.finished_at === null) throw new Error(`not ended: ${JSON.stringify(operation)}`);
      return operation;
    },
    { withinMs },
  );
}

const statuses = async () =>
  Object.fromEntries(
    (await sql<{ status: string; count: number }>('SELECT status, count(*)::int AS count FROM millrace.flows GROUP BY status')).map(
      (row) => [row.status, row.count],
    ),
  );
const replayedCount = async () =>
  (await sql<{ count: number }>('SELECT count(*)::int AS count FROM millrace.flows WHERE run > 1'))[0]?.count;
const incidents = () => listIncidents(test.database.main, { workspace: 'default' }, { limit: 10 });

/** Accepts flows of one phase that are never run. */
async function accept(count: number, changes: Partial<NewFlow> = {}): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < count) {
    const made = await createFlows(
      test.database.hot,
      Array.from({ length: Math.min(500, count - ids.length) }, () => ({
        workspace: 'default',
        createdBy: 'test',
        name: 'bulk',
        version: 1,
        inputJson: '{}',
        tags: {},
        priority: 50,
        runAt: '2120-01-01T00:00:00Z',
        idempotency: null,
        dispatch: false,
        phases: [{ name: 'only', needs: [], dependants: [], attemptMax: 1, signal: null, waitTimeoutMs: null }],
        respond: () => ({ status: 202, body: {} }),
        ...changes,
      })),
    );
    ids.push(...made.flatMap((one) => (one.kind === 'created' ? [one.flowId] : [])));
  }
  return ids;
}

/** 1,000 flows that have failed in the same way, and the switch that says which of them would fail again. */
async function thousandDead(): Promise<{ breaks: (broken: (n: number) => boolean) => void }> {
  let isBroken: (n: number) => boolean = () => true;
  const name = test.define({
    only: {
      retry: { attempts: 1 },
      run: ({ input }: { input: { n: number } }) => {
        if (isBroken(input.n)) throw new Error(`no order ${input.n} for "customer ${input.n * 7}"`);
      },
    },
  });
  await test.engine({ concurrency: 50 });
  await startServices();
  for (let n = 0; n < 1_000; n += 20) await Promise.all(Array.from({ length: 20 }, (_, index) => test.start(name, { n: n + index })));
  await eventually(
    async () => {
      expect(await statuses()).toEqual({ failed: 1_000 });
    },
    { withinMs: 60_000 },
  );
  return {
    breaks: (broken) => {
      isBroken = broken;
    },
  };
}

describe('a replay with a canary', () => {
  it.each<[string, (n: number) => boolean]>([
    ['every other one', (n) => n % 2 === 0],
    ['the later half', (n) => n >= 500],
  ])(
    'of 1,000 dead phases, %s still broken, stops after at most 20 runs and says why; the rest runs when it is mended',
    async (_, isBroken) => {
      const { breaks } = await thousandDead();
      expect(await incidents()).toMatchObject([{ phase: 'only', count: 1_000 }]);
      breaks(isBroken);
      const stopped = await endOf(await operate({ kind: 'replay', canary: true, total: { count: 1_000, capped: false } }));
      expect(stopped).toMatchObject({
        status: 'stopped',
        message: expect.stringMatching(/^the same failure came back in \d+ of \d+ runs$/),
      });
      expect(stopped.succeeded).toBeLessThanOrEqual(20);
      expect(await replayedCount()).toBe(stopped.succeeded);
      expect((await incidents())[0]?.count).toBe(1_000 - (stopped.canary?.recovered ?? 0));
      breaks(() => false);
      const completed = await endOf(await operate({ kind: 'replay', canary: true }));
      expect(completed).toMatchObject({ status: 'completed', message: null, failed: 0, skipped: 0, canary: { returned: 0, otherwise: 0 } });
      expect(completed.canary?.recovered).toBe(completed.succeeded);
      expect(await statuses()).toEqual({ completed: 1_000 });
      expect(await incidents()).toEqual([]);
      const runs = await sql<{ run: number }>('SELECT DISTINCT run FROM millrace.flows ORDER BY run');
      expect(runs.map(({ run }) => run)).toEqual([2, 3]);
    },
    180_000,
  );

  it('waits for the runs that it has opened before it opens more', async () => {
    const gate = Promise.withResolvers<null>();
    let isHeld = false;
    const name = test.define({
      only: {
        retry: { attempts: 1 },
        run: async () => {
          if (isHeld) return gate.promise;
          throw new Error('no');
        },
      },
    });
    await test.engine();
    await startServices();
    await Promise.all(Array.from({ length: 12 }, () => test.start(name)));
    await eventually(async () => {
      expect(await statuses()).toEqual({ failed: 12 });
    });
    isHeld = true;
    const id = await operate({ kind: 'replay', canary: true });
    await eventually(async () => {
      expect((await readOperation(test.database.main, { id, workspace: 'default' }))?.canary).toMatchObject({
        released: 5,
        step: 5,
        stepLeft: 0,
      });
    });
    // It looks again several times before this is over.
    const { fence } = (await readOperation(test.database.main, { id, workspace: 'default' })) ?? { fence: '0' };
    await eventually(async () => {
      expect(Number((await readOperation(test.database.main, { id, workspace: 'default' }))?.fence)).toBeGreaterThan(Number(fence) + 2);
    });
    expect(await replayedCount()).toBe(5);
    gate.resolve(null);
    expect(await endOf(id)).toMatchObject({ status: 'completed', succeeded: 12, canary: { released: 12, recovered: 12 } });
  }, 60_000);
});

describe('a replay', () => {
  it('opens one run for several dead phases of a flow, and leaves flows alone that have not failed', async () => {
    const hold = Promise.withResolvers<null>();
    let isBroken = true;
    const failing = {
      retry: { attempts: 1 },
      run: () => {
        if (isBroken) throw new Error('no');
      },
    };
    const both = test.define({ a: failing, b: failing });
    const half = test.define({ a: failing, b: { run: () => hold.promise } });
    await test.engine();
    const [twice, open] = [await test.start(both), await test.start(half)];
    await test.ended(twice);
    await eventually(async () => {
      expect((await incidents()).map((one) => one.count)).toEqual([1, 1, 1]);
    });
    isBroken = false;
    await startServices();
    expect(await endOf(await operate({ kind: 'replay' }))).toMatchObject({ status: 'completed', done: 2, succeeded: 1, skipped: 1 });
    expect((await test.ended(twice)).flow).toMatchObject({ status: 'completed', run: 2 });
    expect((await test.read(open)).flow).toMatchObject({ status: 'running', run: 1 });
    hold.resolve(null);
  }, 30_000);

  it('keeps to its rate', async () => {
    const name = test.define({
      only: {
        retry: { attempts: 1 },
        run: () => {
          throw new Error('no');
        },
      },
    });
    await test.engine();
    await startServices();
    await Promise.all(Array.from({ length: 20 }, () => test.start(name)));
    await eventually(async () => {
      expect(await statuses()).toEqual({ failed: 20 });
    });
    const operation = await endOf(await operate({ kind: 'replay', ratePerSecond: 10 }));
    expect(operation).toMatchObject({ status: 'completed', succeeded: 20 });
    expect((operation.finished_at?.getTime() ?? 0) - operation.created_at.getTime()).toBeGreaterThan(1_800);
    // What failed again is not taken a second time by the same operation.
    expect(await sql('SELECT DISTINCT run FROM millrace.flows')).toEqual([{ run: 2 }]);
  }, 30_000);
});

describe('a bulk action', () => {
  it('cancels 10,000 flows, each once, and nothing else', async () => {
    const ids = await accept(10_000);
    const others = [...(await accept(3, { name: 'other' })), ...(await accept(3, { workspace: 'elsewhere' }))];
    await startServices();
    const startedAt = performance.now();
    const id = await operate({ kind: 'cancel', selection: { asked: {}, flows: { flow: 'bulk', statuses: ['queued', 'running'] } } });
    await accept(2);
    expect(await endOf(id, 120_000)).toMatchObject({
      status: 'completed',
      total: 10_000,
      done: 10_000,
      succeeded: 10_000,
      skipped: 0,
      failed: 0,
    });
    expect(performance.now() - startedAt).toBeLessThan(100_000);
    expect(await statuses()).toEqual({ cancelled: 10_000, queued: 8 });
    const events = await sql<{ flows: number; events: number }>(
      "SELECT count(DISTINCT subject_id)::int AS flows, count(*)::int AS events FROM millrace.events WHERE type = 'flow.cancelled' AND data->>'by' = 'tester'",
    );
    expect(events).toEqual([{ flows: ids.length, events: ids.length }]);
    expect((await test.read(ids[0] ?? '')).phases[0]?.status).toBe('cancelled');
    expect(others).toHaveLength(6);
  }, 180_000);

  it('tells the handlers of running flows to stop', async () => {
    const stopped = Promise.withResolvers<string>();
    const name = test.define({
      only: {
        run: ({ signal }) =>
          new Promise((resolve) => {
            signal.addEventListener('abort', () => {
              stopped.resolve('stopped');
              resolve(null);
            });
          }),
      },
    });
    const { running: handlers } = await test.engine();
    const subscriber = createSubscriberConnection({ url: process.env['REDIS_URL'] ?? '', name: 'test-control', log });
    await subscriber.connect();
    const listener = createControlListener({
      subscriptions: createSubscriptions(subscriber),
      keys: test.keys,
      onWaiting: () => undefined,
      running: handlers,
      log,
    });
    await listener.start();
    await startServices();
    const flowId = await test.start(name);
    await eventually(async () => {
      expect((await test.read(flowId)).phases[0]?.status).toBe('running');
    });
    await endOf(await operate({ kind: 'cancel', selection: { asked: {}, flows: { flow: name } } }));
    expect(await stopped.promise).toBe('stopped');
    expect((await test.read(flowId)).flow.status).toBe('cancelled');
    await listener.stop(1_000);
    subscriber.disconnect();
  }, 30_000);

  it('retries what has failed', async () => {
    let isBroken = true;
    const name = test.define({
      only: {
        retry: { attempts: 1 },
        run: () => {
          if (isBroken) throw new Error('no');
          return 'done';
        },
      },
    });
    await test.engine();
    await startServices();
    const ids = await Promise.all(Array.from({ length: 30 }, () => test.start(name)));
    await Promise.all(ids.map((id) => test.ended(id)));
    isBroken = false;
    const operation = await endOf(await operate({ kind: 'retry', selection: { asked: {}, flows: { flow: name, statuses: ['failed'] } } }));
    expect(operation).toMatchObject({ status: 'completed', total: 30, done: 30, succeeded: 30 });
    await eventually(async () => {
      expect(await statuses()).toEqual({ completed: 30 });
    });
    expect((await test.read(ids[0] ?? '')).phases[0]).toMatchObject({ id: onlyPhase(ids[0] ?? ''), output: 'done' });
  }, 60_000);

  it('is given up when its steps fail again and again', async () => {
    await accept(1);
    await startServices();
    const id = await operate({ kind: 'cancel', selection: { asked: {}, flows: { inputs: [['this is not JSON']] } } });
    await sql('UPDATE millrace.operations SET failures = 20 WHERE id = $1', [id]);
    expect(await endOf(id)).toMatchObject({ status: 'failed', message: expect.stringContaining('could not be carried out'), done: 0 });
  }, 30_000);
});

describe('a purge', () => {
  it('takes its phases off the list and leaves their flows', async () => {
    const { breaks } = await thousandDead();
    breaks(() => true);
    expect(await endOf(await operate({ kind: 'purge' }))).toMatchObject({ status: 'completed', done: 1_000, succeeded: 1_000 });
    expect(await incidents()).toEqual([]);
    expect(await statuses()).toEqual({ failed: 1_000 });
    expect(await sql('SELECT DISTINCT purged_by FROM millrace.phases')).toEqual([{ purged_by: 'tester' }]);
  }, 120_000);
});
