// Handlers that do not stop in time, engines that stop, and flows that are cancelled.
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { PhaseContext } from '@millrace/sdk';
import { cancelFlow } from '@millrace/store';
import { eventually } from '@millrace/testing';
import { createEngineFixture, gate, onlyPhase, type EngineFixture } from './test-support/engine-fixture.ts';

const ONCE = { attempts: 1 } as const;
let test: EngineFixture;

beforeEach(async () => {
  test = await createEngineFixture();
});

afterEach(async () => {
  await test.close();
});

const phaseRow = async (flowId: string) =>
  (
    await test.database.main.query<{ status: string; attempts: number; crashes: number; generation: number }>(
      'SELECT status, attempts, crashes, generation FROM millrace.phases WHERE id = $1',
      [onlyPhase(flowId)],
    )
  ).rows[0];
const insertRow = (ctx: PhaseContext, phase: string) =>
  ctx.transaction((client) => client.query('INSERT INTO selftest_ledger (key, phase) VALUES ($1, $2)', [ctx.flowId, phase]));

describe('the hard limit', () => {
  it('leaves a deaf handler behind, whose late doings change nothing', async () => {
    const engine = await test.engine();
    const [goOn, done] = [gate(), gate<unknown[]>()];
    const flowId = await test.start(
      test.define({
        only: {
          retry: ONCE,
          timeout: { soft: 20, hard: 60 },
          run: async (ctx: PhaseContext) => {
            await goOn.promise;
            const doings = [
              () => insertRow(ctx, 'late'),
              () => ctx.step('late', () => 1),
              () => {
                ctx.log.info('late');
              },
              () => {
                ctx.progress(1);
              },
            ];
            done.resolve(await Promise.allSettled(doings.map(async (doing) => doing())));
            return 'late';
          },
        },
      }),
    );
    const { flow, phases } = await test.ended(flowId);
    expect([flow.status, phases[0]?.error]).toEqual([
      'failed',
      { code: 'timeout', message: 'the attempt did not end by its hard time limit' },
    ]);
    await eventually(() => {
      expect(engine.running.list()).toEqual([]);
    });
    const before = await test.story(flowId);
    goOn.resolve();
    const doings = await done.promise;
    expect(doings.slice(0, 2)).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }]);
    // Longer than log lines are gathered for.
    await delay(300);
    expect([await test.story(flowId), await test.ledger(flowId)]).toEqual([before, []]);
    expect(await test.read(flowId)).toMatchObject({ phases: [{ status: 'failed', output: null }] });
  });

  it('undoes the transaction of a handler that is left behind in it, and gives its connection back', async () => {
    await test.engine({ longMax: 1 });
    const goOn = gate();
    const retry = { attempts: 2, backoff: { type: 'fixed', delay: 1_200 } } as const;
    const flowId = await test.start(
      test.define({
        only: {
          retry,
          timeout: { soft: 50, hard: 300 },
          run: async (ctx: PhaseContext) => {
            await ctx.transaction(async (client) => {
              await client.query('INSERT INTO selftest_ledger (key, phase) VALUES ($1, $2)', [ctx.flowId, `attempt-${ctx.attempt}`]);
              if (ctx.attempt === 1) await goOn.promise;
            });
            return ctx.attempt;
          },
        },
      }),
    );
    const { phases } = await test.ended(flowId, 15_000);
    goOn.resolve();
    expect(phases[0]).toMatchObject({ status: 'completed', output: 2 });
    await eventually(async () => {
      expect(await test.ledger(flowId)).toEqual(['attempt-2']);
    });
  }, 20_000);
});

describe('the soft limit', () => {
  it('aborts the signal, and the attempt has failed when the handler obeys', async () => {
    await test.engine();
    const flowId = await test.start(
      test.define({
        only: { retry: ONCE, timeout: { soft: 30, hard: '10s' }, run: (ctx: PhaseContext) => delay(60_000, null, { signal: ctx.signal }) },
      }),
    );
    const { phases } = await test.ended(flowId);
    expect(phases[0]).toMatchObject({
      status: 'failed',
      attempts: 1,
      error: { code: 'timeout', message: 'the attempt was stopped at its soft time limit' },
    });
  });

  it('lets a result count that comes in spite of it', async () => {
    await test.engine();
    const run = (ctx: PhaseContext) =>
      new Promise((resolve) => {
        ctx.signal.addEventListener('abort', () => {
          resolve('in spite');
        });
      });
    const { phases } = await test.ended(await test.start(test.define({ only: { retry: ONCE, timeout: { soft: 30, hard: '10s' }, run } })));
    expect(phases[0]).toMatchObject({ status: 'completed', output: 'in spite' });
  });

  it('is reached by an attempt, not by the phase: the next one has its own', async () => {
    await test.engine();
    const retry = { attempts: 2, backoff: { type: 'fixed', delay: 10 } } as const;
    const run = (ctx: PhaseContext) => (ctx.attempt === 1 ? delay(60_000, null, { signal: ctx.signal }) : 'second');
    const { phases } = await test.ended(await test.start(test.define({ only: { retry, timeout: { soft: 30, hard: '10s' }, run } })));
    expect(phases[0]).toMatchObject({ status: 'completed', output: 'second', attempts: 2 });
  });
});

describe('drain', () => {
  it('lets what runs finish and takes nothing new', async () => {
    const engine = await test.engine({ concurrency: 1 });
    const goOn = gate();
    const name = test.define({
      only: {
        run: async () => {
          await goOn.promise;
          return 'done';
        },
      },
    });
    const running = await test.start(name);
    await eventually(() => {
      expect(engine.running.list()).toHaveLength(1);
    });
    const waiting = await test.start(name);
    const draining = engine.drain(10_000);
    goOn.resolve();
    await draining;
    expect((await test.read(running)).flow.status).toBe('completed');
    expect((await test.read(waiting)).flow.status).toBe('queued');
  });

  it('gives back at no cost what obeys its signal and what does not, for others to run', async () => {
    const engine = await test.engine();
    const goOn = gate();
    let first = true;
    const obeys = await test.start(
      test.define({ only: { run: (ctx: PhaseContext) => (first ? delay(60_000, null, { signal: ctx.signal }) : 'again') } }),
    );
    const deaf = await test.start(
      test.define({
        only: {
          run: async () => {
            if (!first) return 'again';
            await goOn.promise;
            return 'zombie';
          },
        },
      }),
    );
    await eventually(() => {
      expect(engine.running.list()).toHaveLength(2);
    });
    const startedAt = performance.now();
    await engine.drain(400);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    for (const flowId of [obeys, deaf])
      expect(await phaseRow(flowId)).toEqual({ status: 'queued', attempts: 0, crashes: 0, generation: 2 });
    expect((await test.events(deaf)).at(-1)).toMatchObject({ type: 'phase.queued', data: { reason: 'shutdown' } });
    first = false;
    goOn.resolve();
    await test.engine();
    for (const flowId of [obeys, deaf])
      expect((await test.ended(flowId)).phases[0]).toMatchObject({ status: 'completed', output: 'again', attempts: 1 });
  }, 20_000);
});

describe('a cancelled flow', () => {
  it('has its handlers told to stop, and takes nothing from them any more', async () => {
    const engine = await test.engine();
    const stopped = gate<unknown>();
    const flowId = await test.start(
      test.define({
        only: {
          run: async (ctx: PhaseContext) => {
            await insertRow(ctx, 'before');
            await new Promise<void>((resolve) => {
              ctx.signal.addEventListener('abort', () => {
                resolve();
              });
            });
            stopped.resolve(ctx.signal.reason);
            return 'in spite';
          },
        },
      }),
    );
    await eventually(() => {
      expect(engine.running.list()).toHaveLength(1);
    });
    await cancelFlow(test.database, { flowId, workspace: 'default', by: 'test' });
    engine.running.stopFlow(flowId, 'cancelled');
    expect(await stopped.promise).toMatchObject({ name: 'PhaseStopped', reason: 'cancelled' });
    await eventually(() => {
      expect(engine.running.list()).toEqual([]);
    });
    expect(await test.read(flowId)).toMatchObject({ flow: { status: 'cancelled' }, phases: [{ status: 'cancelled', output: null }] });
    expect((await test.story(flowId)).at(-1)).toBe('flow.cancelled');
    await eventually(async () => {
      expect(await test.ledger(flowId)).toEqual([]);
    });
  });

  it('is noticed at the next renewal of the lease when nobody told', async () => {
    const engine = await test.engine();
    const flowId = await test.start(test.define({ only: { run: (ctx: PhaseContext) => delay(60_000, null, { signal: ctx.signal }) } }));
    await eventually(() => {
      expect(engine.running.list()).toHaveLength(1);
    });
    await cancelFlow(test.database, { flowId, workspace: 'default', by: 'test' });
    engine.leaseKeeper.wake();
    await eventually(() => {
      expect(engine.running.list()).toEqual([]);
    });
    expect((await test.read(flowId)).flow.status).toBe('cancelled');
  });
});

describe('a lease', () => {
  it('is renewed while its handler works', async () => {
    const engine = await test.engine();
    const goOn = gate();
    const flowId = await test.start(test.define({ only: { run: () => goOn.promise } }));
    await eventually(() => {
      expect(engine.running.list()).toHaveLength(1);
    });
    await test.database.main.query("UPDATE millrace.phases SET due_at = now() + interval '1 second' WHERE id = $1", [onlyPhase(flowId)]);
    engine.leaseKeeper.wake();
    await eventually(async () => {
      const left = await test.database.main.query<{ ms: number }>(
        'SELECT extract(epoch FROM due_at - now())::float8 * 1000 AS ms FROM millrace.phases WHERE id = $1',
        [onlyPhase(flowId)],
      );
      expect(left.rows[0]?.ms).toBeGreaterThan(8_000);
    });
    expect(await test.redis.pttl(test.keys.phaseLock(onlyPhase(flowId)))).toBeGreaterThan(8_000);
    goOn.resolve();
    expect((await test.ended(flowId)).flow.status).toBe('completed');
  });

  it('that was lost stops its handler, whose result is refused', async () => {
    const engine = await test.engine();
    const reason = gate<unknown>();
    const flowId = await test.start(
      test.define({
        only: {
          run: (ctx: PhaseContext) =>
            new Promise((resolve) => {
              ctx.signal.addEventListener('abort', () => {
                reason.resolve(ctx.signal.reason);
                resolve('zombie');
              });
            }),
        },
      }),
    );
    await eventually(() => {
      expect(engine.running.list()).toHaveLength(1);
    });
    await test.database.main.query("UPDATE millrace.phases SET fence = fence + 1, lease_owner = 'other' WHERE id = $1", [
      onlyPhase(flowId),
    ]);
    engine.leaseKeeper.wake();
    expect(await reason.promise).toMatchObject({ reason: 'lease-lost' });
    await eventually(() => {
      expect(engine.running.list()).toEqual([]);
    });
    expect(await test.read(flowId)).toMatchObject({
      flow: { status: 'running' },
      phases: [{ status: 'running', output: null, attempts: 0 }],
    });
  });
});
