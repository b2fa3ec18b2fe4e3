// Dispatcher and consumer together on a Redis of the test's own, which also goes away at the end.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { createLogger } from '@millrace/process';
import { jobIdOf, newId, type Dispatch, type JobRef } from '@millrace/shared';
import { eventually, startOwnRedis, type OwnRedis } from '@millrace/testing';
import { createJobConsumer, type DeliveryOutcome, type JobConsumer, type JobConsumerOptions } from './job-consumer.ts';
import { createJobDispatcher, type JobDispatcher } from './job-dispatcher.ts';

const log = createLogger({ name: 'test', level: 'silent' });
let redis: OwnRedis;
let prefix: string;
let prefixes = 0;
let dispatcher: JobDispatcher;
let consumers: JobConsumer[];

beforeAll(async () => {
  redis = await startOwnRedis();
});

beforeEach(async () => {
  prefixes += 1;
  prefix = `{test-${prefixes}}:queue`;
  consumers = [];
  dispatcher = createJobDispatcher({ url: redis.url, name: 'test', log, prefix });
  await eventually(
    () => {
      expect(dispatcher.isReady()).toBe(true);
    },
    { withinMs: 10_000 },
  );
});

afterEach(async () => {
  await Promise.all(consumers.map((consumer) => consumer.stop(2_000)));
  await dispatcher.close();
});

afterAll(async () => {
  await redis.kill();
});

const job = (changes: Partial<Dispatch> = {}): Dispatch => ({
  id: newId(),
  generation: 1,
  workspace: 'default',
  priority: 50,
  attempts: 4,
  delayMs: 0,
  ...changes,
});
const dispatch = (...jobs: readonly Dispatch[]) => dispatcher.dispatch('flow-phase', jobs);
const stateOf = (ref: JobRef) => dispatcher.queues()[0]?.getJobState(jobIdOf(ref));
const storedJob = (ref: JobRef) => dispatcher.queues()[0]?.getJob(jobIdOf(ref));

/** Consumes with one handler, which answers `outcomes` one after the other and then that it is finished; collects what was delivered, and when. */
async function consume(outcomes: DeliveryOutcome[] = [], options: Partial<JobConsumerOptions> = {}) {
  const delivered: { id: string; generation: number; at: number }[] = [];
  const consumer = createJobConsumer({
    url: redis.url,
    name: 'test-consumer',
    log,
    prefix,
    queue: 'flow-phase',
    concurrency: 1,
    handle: (ref) => {
      delivered.push({ ...ref, at: performance.now() });
      return Promise.resolve(outcomes.shift() ?? { kind: 'finished' });
    },
    ...options,
  });
  consumers.push(consumer);
  await consumer.start();
  return { consumer, delivered };
}

const deliveredIds = (delivered: readonly { id: string }[], ids: readonly string[]) =>
  eventually(() => {
    expect(delivered.map(({ id }) => id)).toEqual(ids);
  });

describe('a dispatched job', () => {
  it('carries nothing but its ids', async () => {
    const one = job();
    await dispatch(one);
    expect((await storedJob(one))?.data).toEqual({ id: one.id, generation: 1 });
  });

  it('is there once however often it is dispatched', async () => {
    const one = job();
    await Promise.all([dispatch(one, one), dispatch(one), dispatch({ ...one, priority: 1 })]);
    expect(await dispatcher.waitingCount('flow-phase')).toBe(1);
    const { delivered } = await consume();
    await dispatch(job({ priority: 100 }));
    await eventually(() => {
      expect(delivered).toHaveLength(2);
    });
    expect(delivered.filter(({ id }) => id === one.id)).toHaveLength(1);
  });

  it('is another one in another generation', async () => {
    const one = job();
    await dispatch(one, { ...one, generation: 2 });
    const { delivered } = await consume();
    await eventually(() => {
      expect(delivered.map(({ generation }) => generation)).toEqual([1, 2]);
    });
  });

  it('is delivered by priority, and in the order of dispatch among equals', async () => {
    const jobs = [job({ priority: 90 }), job({ priority: 1 }), job({ priority: 50 }), job({ priority: 1 }), job({ priority: 50 })];
    await dispatch(...jobs);
    const { delivered } = await consume();
    await deliveredIds(
      delivered,
      [1, 3, 2, 4, 0].map((n) => jobs[n]?.id ?? ''),
    );
  });

  it('is not delivered before its delay is over, nor counted as waiting', async () => {
    const [late, now] = [job({ delayMs: 300, priority: 1 }), job()];
    const dispatchedAt = performance.now();
    await dispatch(late, now);
    expect(await dispatcher.waitingCount('flow-phase')).toBe(1);
    const { delivered } = await consume();
    await deliveredIds(delivered, [now.id, late.id]);
    expect((delivered[1]?.at ?? 0) - dispatchedAt).toBeGreaterThanOrEqual(295);
  });

  it('goes into the queue it is for', async () => {
    await dispatcher.dispatch('data-import', [job()]);
    expect([await dispatcher.waitingCount('flow-phase'), await dispatcher.waitingCount('data-import')]).toEqual([0, 1]);
  });

  it('may be one of a thousand, or none', async () => {
    await dispatch(...Array.from({ length: 1_000 }, () => job()));
    await dispatch();
    expect(await dispatcher.waitingCount('flow-phase')).toBe(1_000);
  });
});

describe('missing', () => {
  it('names what was removed, is finished or was never there, and not what waits, is delayed or worked on', async () => {
    const [removed, waiting, delayed, never, done, active] = [
      job(),
      job(),
      job({ delayMs: 60_000 }),
      job(),
      job({ priority: 1 }),
      job({ priority: 2 }),
    ];
    await dispatch(removed, waiting, delayed, done, active);
    await (await storedJob(removed))?.remove();
    const finish = Promise.withResolvers<DeliveryOutcome>();
    await consume([], { handle: (ref) => (ref.id === active.id ? finish.promise : Promise.resolve({ kind: 'finished' })) });
    await eventually(async () => {
      expect(await stateOf(active)).toBe('active');
    });
    const missing = await dispatcher.missing('flow-phase', [removed, waiting, delayed, never, done, active]);
    finish.resolve({ kind: 'finished' });
    expect(missing.map((ref) => ref.id)).toEqual([removed.id, never.id, done.id]);
  });

  it('names everything after Redis was emptied', async () => {
    const jobs = [job(), job({ delayMs: 60_000 })];
    await dispatch(...jobs);
    const other = new Redis(redis.url);
    await other.flushall();
    other.disconnect();
    expect(await dispatcher.missing('flow-phase', jobs)).toEqual(jobs);
  });
});

describe('what became of a delivery', () => {
  it('leaves nothing of a finished job behind', async () => {
    const one = job();
    await dispatch(one);
    const { delivered } = await consume();
    await deliveredIds(delivered, [one.id]);
    await eventually(async () => {
      expect(await stateOf(one)).toBe('unknown');
    });
  });

  it('brings a job to be retried back after the delay of its outcome, and counts the attempt', async () => {
    const one = job();
    await dispatch(one);
    const { delivered } = await consume([
      { kind: 'retry', delayMs: 200, message: 'not yet' },
      { kind: 'retry', delayMs: 0, message: 'nor now' },
    ]);
    await deliveredIds(delivered, [one.id, one.id, one.id]);
    const [first, second, third] = delivered.map(({ at }) => at);
    expect((second ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(195);
    expect((third ?? 0) - (second ?? 0)).toBeLessThan(2_000);
  });

  it('keeps a job whose last attempt failed, with its message, and brings it no more', async () => {
    const one = job();
    await dispatch(one);
    await consume([{ kind: 'failed', message: 'for good' }]);
    await eventually(async () => {
      expect(await stateOf(one)).toBe('failed');
    });
    expect(await storedJob(one)).toMatchObject({ failedReason: 'for good', attemptsMade: 1 });
  });

  it('brings a job for later back after its delay at the cost of no attempt, however often', async () => {
    const one = job({ attempts: 2 });
    await dispatch(one);
    const later: DeliveryOutcome = { kind: 'later', delayMs: 20 };
    const { delivered } = await consume([later, later, later, later, { kind: 'retry', delayMs: 0, message: 'once' }]);
    await deliveredIds(
      delivered,
      Array.from({ length: 6 }, () => one.id),
    );
    expect((delivered[1]?.at ?? 0) - (delivered[0]?.at ?? 0)).toBeGreaterThanOrEqual(18);
    await eventually(async () => {
      expect(await stateOf(one)).toBe('unknown');
    });
  });

  it('brings a job back when its handler breaks the promise not to reject', async () => {
    const one = job({ attempts: 1 });
    await dispatch(one);
    const { consumer } = await consume([], { handle: () => Promise.reject(new Error('a bug')) });
    await eventually(async () => {
      expect(await stateOf(one)).toBe('delayed');
    });
    expect(consumer.activeCount()).toBe(0);
    expect((await storedJob(one))?.attemptsMade).toBe(0);
  });
});

describe('pause', () => {
  it('lets what runs finish and leaves the rest to others', async () => {
    const jobs = [job(), job(), job()];
    await dispatch(...jobs);
    const finish = Promise.withResolvers<DeliveryOutcome>();
    const seen: string[] = [];
    const { consumer } = await consume([], {
      handle: (ref) => {
        seen.push(ref.id);
        return finish.promise;
      },
    });
    await eventually(() => {
      expect(consumer.activeCount()).toBe(1);
    });
    consumer.pause();
    const other = await consume([], { concurrency: 3 });
    await eventually(() => {
      expect(other.delivered).toHaveLength(2);
    });
    finish.resolve({ kind: 'finished' });
    await eventually(() => {
      expect(consumer.activeCount()).toBe(0);
    });
    expect(seen).toEqual([jobs[0]?.id]);
  });

  it('gives a job back that arrives all the same', async () => {
    const handled: string[] = [];
    const { consumer } = await consume([], {
      handle: (ref) => {
        handled.push(ref.id);
        return Promise.resolve({ kind: 'finished' });
      },
    });
    const warm = job();
    await dispatch(warm);
    await eventually(() => {
      expect(handled).toEqual([warm.id]);
    });
    consumer.pause();
    const late = job({ attempts: 1 });
    await dispatch(late);
    const { delivered } = await consume();
    await deliveredIds(delivered, [late.id]);
    expect(handled).toEqual([warm.id]);
  });
});

describe('stop', () => {
  it('waits for what runs', async () => {
    await dispatch(job());
    const finish = Promise.withResolvers<DeliveryOutcome>();
    const { consumer } = await consume([], { handle: () => finish.promise });
    await eventually(() => {
      expect(consumer.activeCount()).toBe(1);
    });
    const stopping = consumer.stop(5_000).then(() => consumer.activeCount());
    finish.resolve({ kind: 'finished' });
    expect(await stopping).toBe(0);
  });

  it('does not wait beyond its deadline, and may be called again or before the start', async () => {
    await dispatch(job());
    const finish = Promise.withResolvers<DeliveryOutcome>();
    const { consumer } = await consume([], { handle: () => finish.promise });
    await eventually(() => {
      expect(consumer.activeCount()).toBe(1);
    });
    const startedAt = performance.now();
    await consumer.stop(100);
    await consumer.stop(100);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    await createJobConsumer({
      url: redis.url,
      name: 'unstarted',
      log,
      prefix,
      queue: 'flow-phase',
      concurrency: 1,
      handle: () => Promise.resolve({ kind: 'finished' }),
    }).stop(100);
    finish.resolve({ kind: 'finished' });
  });
});

// Last: the server goes away.
describe('while Redis is away', () => {
  it('nothing is dispatched or counted, at once and with a clear error, and work goes on once it is back', async () => {
    const { delivered } = await consume();
    await redis.kill();
    await eventually(() => {
      expect(dispatcher.isReady()).toBe(false);
    });
    const startedAt = performance.now();
    for (const work of [
      () => dispatch(job()),
      () => dispatcher.waitingCount('flow-phase'),
      () => dispatcher.missing('flow-phase', [job()]),
    ])
      await expect(work()).rejects.toMatchObject({ code: 'dependency-unavailable' });
    expect(performance.now() - startedAt).toBeLessThan(500);
    await redis.start();
    await eventually(
      () => {
        expect(dispatcher.isReady()).toBe(true);
      },
      { withinMs: 10_000 },
    );
    const one = job();
    await dispatch(one);
    await eventually(
      () => {
        expect(delivered.map(({ id }) => id)).toEqual([one.id]);
      },
      { withinMs: 15_000 },
    );
  }, 30_000);

  it('a dispatcher that began while it was away works once it is there', async () => {
    await redis.kill();
    const early = createJobDispatcher({ url: redis.url, name: 'early', log, prefix });
    await expect(early.dispatch('flow-phase', [job()])).rejects.toMatchObject({ code: 'dependency-unavailable' });
    await redis.start();
    await eventually(() => early.dispatch('flow-phase', [job()]), { withinMs: 15_000 });
    expect(await early.waitingCount('flow-phase')).toBe(1);
    await early.close();
  }, 30_000);

  // In a process of its own: BullMQ leaves timers behind when it is closed without its server, which end with the process.
  it('closing takes no longer than its deadline', async () => {
    const script = `
      const { createJobConsumer, createJobDispatcher } = await import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)});
      const log = { info() {}, warn() {}, error() {}, debug() {} };
      const options = { url: ${JSON.stringify(redis.url)}, name: 'closing', log, prefix: '{closing}:queue' };
      const dispatcher = createJobDispatcher(options);
      const consumer = createJobConsumer({ ...options, queue: 'flow-phase', concurrency: 1, handle: async () => ({ kind: 'finished' }) });
      await consumer.start();
      await dispatcher.queues()[0].waitUntilReady();
      process.stdout.write('ready');
      process.stdin.once('data', async () => {
        const startedAt = performance.now();
        await Promise.all([consumer.stop(500), dispatcher.close()]);
        process.stdout.write(String(performance.now() - startedAt));
        process.exit(0);
      });`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['pipe', 'pipe', 'inherit'] });
    const said: string[] = [];
    child.stdout.on('data', (chunk: Buffer) => said.push(chunk.toString()));
    await eventually(() => {
      expect(said).toEqual(['ready']);
    });
    await redis.kill();
    child.stdin.write('close');
    await once(child, 'exit');
    expect(Number(said[1])).toBeLessThan(3_000);
    await redis.start();
  }, 20_000);
});
