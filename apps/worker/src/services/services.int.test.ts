// The services around the engine on real servers: what they repair, and that doing it twice changes nothing.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger, systemClock, type Clock, type Loop } from '@millrace/process';
import { createJobDispatcher, type JobDispatcher } from '@millrace/queue';
import { createSubscriberConnection, createSubscriptions, type RedisClient } from '@millrace/redis';
import { jobIdOf, memberId, type JobRef } from '@millrace/shared';
import { awaitCallback, claimPhases, createFlows, type ClaimedPhase } from '@millrace/store';
import { eventually } from '@millrace/testing';
import { createEventPublisher } from '../engine/event-publisher.ts';
import { createRunningPhases } from '../engine/running-phases.ts';
import { createEngineFixture, onlyPhase, type EngineFixture } from '../engine/test-support/engine-fixture.ts';
import { createControlListener } from './control-listener.ts';
import { createFlowDispatcher } from './dispatcher.ts';
import { endOverdueFlows } from './overdue-flows.ts';
import { createReconciler } from './reconciler.ts';

const log = createLogger({ name: 'test', level: 'silent' });
let test: EngineFixture;
let dispatcher: JobDispatcher;
let running: Loop[];

beforeEach(async () => {
  test = await createEngineFixture();
  dispatcher = createJobDispatcher({ url: process.env['REDIS_URL'] ?? '', name: 'test-services', log, prefix: test.keys.queuePrefix() });
  running = [];
  await eventually(() => {
    expect(dispatcher.isReady()).toBe(true);
  });
});

afterEach(async () => {
  await Promise.all(running.map((loop) => loop.stop(2_000)));
  await dispatcher.close();
  await test.close();
});

/** Counts passes, so that a test can wait for one that began after now. */
function passes() {
  let ended = 0;
  return {
    onPass: () => {
      ended += 1;
    },
    more: (count: number) => {
      const target = ended + count;
      return eventually(
        () => {
          expect(ended).toBeGreaterThanOrEqual(target);
        },
        { withinMs: 10_000 },
      );
    },
  };
}

async function startDispatcher(windowMax = 100) {
  const counted = passes();
  const loop = createFlowDispatcher({ database: test.database, dispatcher, windowMax, log, onPass: counted.onPass });
  running.push(loop);
  await loop.start();
  return { loop, ...counted };
}

async function startReconciler(clock: Clock = systemClock) {
  const counted = passes();
  const flowDispatcher = createFlowDispatcher({ database: test.database, dispatcher, windowMax: 100, log, onPass: () => undefined });
  const publisher = createEventPublisher({ updates: test.updates, log });
  const loop = createReconciler({
    database: test.database,
    dispatcher,
    publisher,
    dispatch: flowDispatcher.dispatch,
    endOverdueFlows: (limit) => endOverdueFlows({ database: test.database, publisher, updates: test.updates, log }, limit),
    reconcileImports: () => Promise.resolve('idle'),
    clock,
    log,
    onPass: counted.onPass,
  });
  running.push(loop);
  await loop.start();
  return {
    ...counted,
    again: () => {
      loop.wake();
      return counted.more(1);
    },
  };
}

/** Accepts flows of one phase without dispatching anything. */
async function accept(
  count: number,
  { priority = 50, runAt = null, dispatch = false }: { priority?: number; runAt?: string | null; dispatch?: boolean } = {},
): Promise<string[]> {
  const made = await createFlows(
    test.database.hot,
    Array.from({ length: count }, () => ({
      workspace: 'default',
      createdBy: 'test',
      name: 'f',
      version: 1,
      inputJson: '{}',
      tags: {},
      priority,
      runAt,
      idempotency: null,
      dispatch,
      phases: [{ name: 'only', needs: [], dependants: [], attemptMax: 4, crashes: 0, signal: null, waitTimeoutMs: null }],
      respond: () => ({ status: 202, body: {} }),
    })),
  );
  return made.flatMap((one) => (one.kind === 'created' ? [one.flowId] : []));
}

const waiting = () => dispatcher.waitingCount('flow-phase');
const isThere = async (job: JobRef) => (await dispatcher.missing('flow-phase', [job])).length === 0;
const phaseRow = async (flowId: string) =>
  (
    await test.database.main.query<{ status: string; generation: number; attempts: number; crashes: number; dispatched: boolean }>(
      'SELECT status, generation, attempts, crashes, dispatched FROM millrace.phases WHERE id = $1',
      [onlyPhase(flowId)],
    )
  ).rows[0];
const overdue = (flowId: string, status?: string) =>
  test.database.main.query(
    "/* forged */ UPDATE millrace.phases SET due_at = now() - interval '1 minute', status = coalesce($2, status) WHERE id = $1",
    [onlyPhase(flowId), status ?? null],
  );

describe('the dispatcher', () => {
  it('fills the window from the backlog, the most urgent first, and tops it up as it empties', async () => {
    const [low, high] = [await accept(15, { priority: 90 }), await accept(5, { priority: 10 })];
    const { more } = await startDispatcher(10);
    await eventually(async () => {
      expect(await waiting()).toBe(10);
    });
    await more(3);
    expect(await waiting()).toBe(10);
    expect(await Promise.all(high.map((flowId) => isThere({ id: onlyPhase(flowId), generation: 1 })))).toEqual(high.map(() => true));
    expect(await Promise.all(low.slice(0, 6).map((flowId) => isThere({ id: onlyPhase(flowId), generation: 1 })))).toEqual([
      true,
      true,
      true,
      true,
      true,
      false,
    ]);
    for (const flowId of high) await (await dispatcher.queues()[0]?.getJob(jobIdOf({ id: onlyPhase(flowId), generation: 1 })))?.remove();
    await eventually(async () => {
      expect(await Promise.all(low.slice(0, 11).map((flowId) => isThere({ id: onlyPhase(flowId), generation: 1 })))).toEqual([
        ...Array.from({ length: 10 }, () => true),
        false,
      ]);
    });
  });

  it('puts what is handed over straight into the queue, combined, also before its loop runs', async () => {
    const flowDispatcher = createFlowDispatcher({ database: test.database, dispatcher, windowMax: 1, log, onPass: () => undefined });
    const ids = await accept(300);
    flowDispatcher.dispatch(
      ids.map((flowId) => ({ id: onlyPhase(flowId), generation: 1, workspace: 'default', priority: 50, attempts: 4, delayMs: 0 })),
    );
    await flowDispatcher.drain();
    expect(await waiting()).toBe(300);
  });

  it('shares the backlog with others without taking anything twice', async () => {
    const ids = await accept(200);
    await Promise.all([startDispatcher(1_000), startDispatcher(1_000)]);
    await eventually(async () => {
      expect(await waiting()).toBe(200);
    });
    const generations = await test.database.main.query('SELECT DISTINCT generation FROM millrace.phases WHERE flow_id = ANY($1::uuid[])', [
      ids,
    ]);
    expect(generations.rows).toEqual([{ generation: 1 }]);
  });
});

describe('the reconciler', () => {
  it('queues a phase again whose lease ran out, once, and counts the crash', async () => {
    const [flowId = ''] = await accept(1, { dispatch: true });
    await claimPhases(test.database.hot, [{ id: onlyPhase(flowId), generation: 1 }], { worker: 'dead', leaseMs: 10_000 });
    await overdue(flowId);
    const { again } = await startReconciler();
    await eventually(async () => {
      expect(await isThere({ id: onlyPhase(flowId), generation: 2 })).toBe(true);
    });
    await again();
    await again();
    expect(await phaseRow(flowId)).toEqual({ status: 'queued', generation: 2, attempts: 0, crashes: 1, dispatched: true });
    expect((await test.events(flowId)).at(-1)).toMatchObject({ type: 'phase.queued', data: { reason: 'lease-expired' } });
  });

  describe('of a phase whose workers have died and that ran in a process of its own', () => {
    let aheadMs: number;
    const clock: Clock = { nowMs: systemClock.nowMs, monotonicMs: () => systemClock.monotonicMs() + aheadMs };
    const losePhase = async (worker: string) => {
      const [flowId = ''] = await accept(1, { dispatch: true });
      await claimPhases(test.database.hot, [{ id: onlyPhase(flowId), generation: 1 }], { worker, leaseMs: 10_000 });
      await test.database.main.query(
        "UPDATE millrace.phases SET crashes = 5, alone = true, due_at = now() - interval '5 seconds' WHERE id = $1",
        [onlyPhase(flowId)],
      );
      return flowId;
    };
    const announce = (id: string, seen: string) =>
      test.database.main.query(
        `INSERT INTO millrace.workers (id, host, pid, started_at, seen_at, concurrency, running, stopping, queues, definitions)
         VALUES ($1, 'here', 1, now(), now() - $2::interval, 1, 1, false, '{}', '[]')
         ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at`,
        [id, seen],
      );
    /** Lets so many seconds go by, in which the reconciler looks often enough to stay in touch. */
    const pass = async (again: () => Promise<void>, seconds: number) => {
      for (let left = seconds; left > 0; left -= 1) {
        aheadMs += 1_000;
        await again();
      }
    };
    beforeEach(() => {
      aheadMs = 0;
    });

    it('takes it for dead only when it could have heard of its worker and has not', async () => {
      const flowId = await losePhase('dead');
      await announce('dead', '1 hour');
      const { again } = await startReconciler(clock);
      await pass(again, 12);
      expect(await phaseRow(flowId)).toMatchObject({ status: 'running', crashes: 5 });
      // Out of touch: what has come in between cannot be known.
      aheadMs += 60_000;
      await again();
      expect(await phaseRow(flowId)).toMatchObject({ status: 'running', crashes: 5 });
      await pass(again, 17);
      expect(await phaseRow(flowId)).toMatchObject({ status: 'quarantined', crashes: 6 });
    });

    it('waits while its worker may be heard of again, and queues it at no cost when it is', async () => {
      const flowId = await losePhase('alive');
      const id = onlyPhase(flowId);
      // Silent since just before the lease ran out, however long this takes.
      const keepSilent = async () => {
        await announce('alive', '1 second');
        await test.database.main.query(
          "UPDATE millrace.phases p SET due_at = w.seen_at FROM millrace.workers w WHERE p.id = $1 AND w.id = 'alive' AND p.status = 'running'",
          [id],
        );
      };
      await keepSilent();
      const { again } = await startReconciler(clock);
      for (let seconds = 0; seconds < 17; seconds += 1) {
        await pass(again, 1);
        await keepSilent();
      }
      expect(await phaseRow(flowId)).toMatchObject({ status: 'running', crashes: 5 });
      await announce('alive', '0 seconds');
      await again();
      await again();
      expect(await phaseRow(flowId)).toMatchObject({ status: 'queued', crashes: 5, attempts: 0 });
    });
  });

  it('fails a flow that has expired before its start', async () => {
    const [flowId = ''] = await accept(1);
    await test.database.main.query(
      "UPDATE millrace.flows SET expires_at = now() - interval '1 second', due_at = now() - interval '1 second' WHERE id = $1",
      [flowId],
    );
    await startReconciler();
    expect((await test.ended(flowId)).flow).toMatchObject({ status: 'failed', error: { code: 'expired' } });
  });

  it('leaves a lease alone that is alive', async () => {
    const [flowId = ''] = await accept(1, { dispatch: true });
    await claimPhases(test.database.hot, [{ id: onlyPhase(flowId), generation: 1 }], { worker: 'alive', leaseMs: 10_000 });
    const { again } = await startReconciler();
    await again();
    expect(await phaseRow(flowId)).toMatchObject({ status: 'running', generation: 1 });
  });

  it('ends the wait for a callback that does not come, and has the phase tried again', async () => {
    const [flowId = ''] = await accept(1, { dispatch: true });
    const id = onlyPhase(flowId);
    const { results } = await claimPhases(test.database.hot, [{ id, generation: 1 }], { worker: 'w', leaseMs: 10_000 });
    const fence = results[0]?.kind === 'claimed' ? results[0].phase.fence : 0;
    await awaitCallback(test.database, { id, fence, worker: 'w', timeoutMs: 0, backoff: { type: 'fixed', delay: 5_000 } });
    const { again } = await startReconciler();
    await eventually(async () => {
      expect(await isThere({ id, generation: 2 })).toBe(true);
    });
    await again();
    expect(await phaseRow(flowId)).toMatchObject({ status: 'retrying', generation: 2, attempts: 1 });
    expect((await test.events(flowId)).at(-1)).toMatchObject({ type: 'phase.retrying', data: { error: { code: 'callback-timeout' } } });
  });

  it('dispatches again what is missing from the queue, a retry included, and only that', async () => {
    const [lost = '', retry = '', there = ''] = await accept(3, { dispatch: true });
    await test.dispatch([{ id: onlyPhase(there), generation: 1, workspace: 'default', priority: 50, attempts: 4, delayMs: 0 }]);
    await overdue(lost);
    await overdue(there);
    await overdue(retry, 'retrying');
    const { again } = await startReconciler();
    await eventually(async () => {
      expect(await waiting()).toBe(3);
    });
    await again();
    expect(await Promise.all([lost, retry, there].map(async (flowId) => (await phaseRow(flowId))?.generation))).toEqual([2, 2, 1]);
  });

  it('comes to rest when many retries wait in the queue past their time', async () => {
    const ids = await accept(500, { dispatch: true });
    await test.dispatch(
      ids.map((flowId) => ({ id: onlyPhase(flowId), generation: 1, workspace: 'default', priority: 50, attempts: 4, delayMs: 0 })),
    );
    await test.database.main.query(
      "/* forged */ UPDATE millrace.phases SET status = 'retrying', attempts = 1, due_at = now() - interval '1 minute'",
    );
    const { more } = await startReconciler();
    const startedAt = performance.now();
    await more(3);
    expect(performance.now() - startedAt).toBeGreaterThan(900);
    expect(await waiting()).toBe(500);
  });

  it('brings everything back after Redis lost it all', async () => {
    const ids = await accept(20, { dispatch: true });
    await test.dispatch(
      ids.map((flowId) => ({ id: onlyPhase(flowId), generation: 1, workspace: 'default', priority: 50, attempts: 4, delayMs: 0 })),
    );
    await dispatcher.queues()[0]?.obliterate({ force: true });
    for (const flowId of ids) await overdue(flowId);
    await startReconciler();
    await eventually(async () => {
      expect(await waiting()).toBe(20);
    });
  });

  it('lets a flow into the backlog when its time has come', async () => {
    const [due = '', later = ''] = [
      ...(await accept(1, { runAt: new Date(Date.now() - 1_000).toISOString() })),
      ...(await accept(1, { runAt: new Date(Date.now() + 60_000).toISOString() })),
    ];
    await Promise.all([startReconciler(), startDispatcher()]);
    await eventually(async () => {
      expect(await isThere({ id: onlyPhase(due), generation: 1 })).toBe(true);
    });
    expect(await phaseRow(later)).toMatchObject({ dispatched: false, generation: 0 });
  });
});

describe('the control listener', () => {
  let subscriber: RedisClient;

  beforeEach(async () => {
    subscriber = createSubscriberConnection({ url: process.env['REDIS_URL'] ?? '', name: 'test-control', log });
    await subscriber.connect();
  });

  afterEach(() => {
    subscriber.disconnect();
  });

  const claimed = (flowId: string): ClaimedPhase => ({
    id: memberId(flowId, 0),
    flowId,
    workspace: 'default',
    flow: 'f',
    version: 1,
    run: 1,
    name: 'only',
    fence: 1,
    attempt: 1,
    attemptMax: 1,
    crashes: 0,
    generation: 1,
    priority: 50,
    createdBy: 'test',
    interruptedAt: null,
    input: {},
    outputs: {},
    startedAt: new Date(0),
  });

  it('stops the running phases of a cancelled flow, passes on that something waits, and makes nothing of anything else it hears', async () => {
    const phases = createRunningPhases();
    const [flowId = '', otherId = ''] = await accept(2);
    const [mine, other] = [
      phases.add(claimed(flowId), { claimedAtMs: 1, deliveryId: '' }),
      phases.add(claimed(otherId), { claimedAtMs: 1, deliveryId: '' }),
    ];
    const waiting: string[] = [];
    const listener = createControlListener({
      subscriptions: createSubscriptions(subscriber),
      keys: test.keys,
      running: phases,
      onWaiting: (what) => waiting.push(what),
      log,
    });
    await listener.start();
    for (const text of [
      '',
      'no JSON',
      'null',
      '[]',
      '"cancel"',
      '{"type":"cancel"}',
      '{"type":"cancel","flowId":7}',
      JSON.stringify({ type: 'other', flowId: otherId }),
    ])
      await test.redis.publish(test.keys.control(), text);
    for (const type of ['admissions', 'backlog'] as const) await test.updates.publishControl({ type });
    await test.updates.publishControl({ type: 'cancel', flowId });
    await eventually(() => {
      expect(mine.stopReason()).toBe('cancelled');
    });
    expect(waiting).toEqual(['admissions', 'backlog']);
    expect(other.stopReason()).toBeUndefined();
    await listener.stop(100);
    await eventually(async () => {
      expect(await test.redis.pubsub('NUMSUB', test.keys.control())).toEqual([test.keys.control(), 0]);
    });
  });
});
