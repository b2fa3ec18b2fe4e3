import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createLogger } from '@millrace/process';
import { createCommandConnection, createLocks, isReady } from '@millrace/redis';
import type { PhaseContext } from '@millrace/sdk';
import { eventually, startOwnRedis } from '@millrace/testing';
import { createEngineFixture, gate, onlyPhase, type EngineFixture } from '../test-support/engine-fixture.ts';
import { withNamedLock } from './phase-lock.ts';

const ONCE = { attempts: 1 } as const;
let test: EngineFixture;

beforeAll(async () => {
  test = await createEngineFixture();
  await Promise.all([test.engine(), test.engine()]);
});

afterAll(async () => {
  await test.close();
});

const only = (run: (ctx: PhaseContext<{ n: number }>) => unknown, more: object = {}) =>
  test.define({ only: { retry: ONCE, run, ...more } });

/** Tells how many are inside at the same time. */
function turnstile() {
  let inside = 0;
  let most = 0;
  const pass = async (): Promise<void> => {
    inside += 1;
    most = Math.max(most, inside);
    for (let trip = 0; trip < 5; trip += 1) await test.redis.ping();
    inside -= 1;
  };
  return { pass, most: () => most };
}

describe('ctx.lock', () => {
  it('has one holder at a time over two engines, each with a higher fence than the one before', async () => {
    const { pass, most } = turnstile();
    const fences: number[] = [];
    const name = only((ctx) =>
      ctx.lock(
        'shared',
        async ({ fence }) => {
          fences.push(fence);
          await pass();
        },
        { tries: 1_000, retryDelay: 5 },
      ),
    );
    const ids = await Promise.all(Array.from({ length: 12 }, () => test.start(name)));
    for (const id of ids) expect((await test.ended(id)).flow.status).toBe('completed');
    expect(most()).toBe(1);
    expect(fences).toHaveLength(12);
    expect(fences.toSorted((a, b) => a - b)).toEqual(fences);
  });

  it('has one holder at a time also within one handler', async () => {
    const { pass, most } = turnstile();
    const name = only((ctx) => Promise.all([1, 2, 3].map(() => ctx.lock('same-handler', pass, { tries: 1_000, retryDelay: 1 }))));
    expect((await test.ended(await test.start(name))).flow.status).toBe('completed');
    expect(most()).toBe(1);
  });

  it('may be taken again by the function that holds it, and ends with the outer one', async () => {
    const heldAfterInner = gate<number>();
    const name = only((ctx) =>
      ctx.lock('nested', async () => {
        const inner = await ctx.lock('nested', () => 'inner', { tries: 1 });
        heldAfterInner.resolve(await test.redis.exists(test.keys.lock('default', 'nested')));
        return inner;
      }),
    );
    expect((await test.ended(await test.start(name))).phases[0]?.output).toBe('inner');
    expect(await heldAfterInner.promise).toBe(1);
    expect(await test.redis.exists(test.keys.lock('default', 'nested'))).toBe(0);
  });

  it('sends the phase back at no cost when it is held, until it can be had', async () => {
    const key = test.keys.lock('default', 'busy');
    await test.locks.acquire([{ key, token: 'someone' }], 60_000);
    const flowId = await test.start(only((ctx) => ctx.lock('busy', () => 'got it', { tries: 2, retryDelay: 1 })));
    await eventually(async () => {
      expect((await test.events(flowId)).at(-1)).toMatchObject({ type: 'phase.queued', data: { reason: 'lock-held' } });
    });
    await test.locks.release([{ key, token: 'someone' }]);
    expect((await test.ended(flowId)).phases[0]).toMatchObject({ status: 'completed', attempts: 1, output: 'got it' });
  });

  it('uses an attempt when others have held it for more than an hour', async () => {
    const key = test.keys.lock('default', 'for-hours');
    await test.locks.acquire([{ key, token: 'someone' }], 60_000);
    const flowId = await test.start(only((ctx) => ctx.lock('for-hours', () => 'got it', { tries: 1 })));
    await eventually(async () => {
      const past = await test.database.main.query(
        "UPDATE millrace.phases SET interrupted_at = now() - interval '61 minutes' WHERE id = $1 AND interrupted_at IS NOT NULL",
        [onlyPhase(flowId)],
      );
      expect(past.rowCount).toBe(1);
    });
    expect((await test.ended(flowId)).phases[0]).toMatchObject({ status: 'failed', attempts: 1, error: { code: 'lock-held' } });
  });

  it('is waited for by the clock of PostgreSQL, whatever that of the worker says', async () => {
    const ahead = await createEngineFixture();
    try {
      const now = Date.now;
      jest.spyOn(Date, 'now').mockImplementation(() => now() + 7_200_000);
      await ahead.engine();
      const key = ahead.keys.lock('default', 'busy');
      await ahead.locks.acquire([{ key, token: 'someone' }], 60_000);
      const run = (ctx: PhaseContext) => ctx.lock('busy', () => 'got it', { tries: 1 });
      const flowId = await ahead.start(ahead.define({ only: { retry: ONCE, run } }));
      await eventually(
        async () => {
          const reasons = (await ahead.events(flowId)).map(({ data }) => data['reason']);
          expect(reasons.filter((reason) => reason === 'lock-held')).toHaveLength(2);
        },
        { withinMs: 15_000 },
      );
      await ahead.locks.release([{ key, token: 'someone' }]);
      expect((await ahead.ended(flowId)).phases[0]).toMatchObject({ status: 'completed', attempts: 1 });
    } finally {
      await ahead.close();
      jest.restoreAllMocks();
    }
  }, 30_000);

  it('is given back when its function throws', async () => {
    const { phases } = await test.ended(
      await test.start(
        only((ctx) =>
          ctx.lock('thrown', () => {
            throw new Error('own');
          }),
        ),
      ),
    );
    expect(phases[0]?.error?.message).toBe('own');
    expect(await test.redis.exists(test.keys.lock('default', 'thrown'))).toBe(0);
  });

  it('is renewed while its function works, and aborts its signal once it is lost', async () => {
    const key = test.keys.lock('default', 'renewed');
    const entered = gate();
    const flowId = await test.start(
      only((ctx) =>
        ctx.lock(
          'renewed',
          ({ signal }) =>
            new Promise((resolve) => {
              entered.resolve();
              signal.addEventListener('abort', () => {
                resolve((signal.reason as Error).message);
              });
            }),
          { ttl: 300 },
        ),
      ),
    );
    await entered.promise;
    const before = await test.redis.pexpiretime(key);
    await eventually(async () => {
      expect(await test.redis.pexpiretime(key)).toBeGreaterThan(before);
    });
    await test.redis.set(key, 'stolen', 'PX', 60_000);
    expect((await test.ended(flowId)).phases[0]?.output).toBe('the lock "renewed" was lost');
    expect(await test.redis.get(key)).toBe('stolen');
  });

  it('belongs to the workspace', async () => {
    await test.locks.acquire([{ key: test.keys.lock('other', 'r'), token: 'x' }], 60_000);
    expect((await test.ended(await test.start(only((ctx) => ctx.lock('r', () => 1, { tries: 1 }))))).flow.status).toBe('completed');
  });
});

describe('the lock of a phase', () => {
  it('lets one of all phases run that name the same resource', async () => {
    const { pass, most } = turnstile();
    const name = only(pass, { lock: ({ input }: { input: { n: number } }) => `account:${input.n}` });
    const ids = [await test.start(name, { n: 1 }), await test.start(name, { n: 1 }), await test.start(name, { n: 1 })];
    for (const id of ids) expect((await test.ended(id)).phases[0]).toMatchObject({ status: 'completed', attempts: 1 });
    expect(most()).toBe(1);
  });
});

describe('while Redis is away', () => {
  it("a lock is not available, which is nobody's failure", async () => {
    const redis = await startOwnRedis();
    const client = createCommandConnection({ url: redis.url, name: 'test-away', log: createLogger({ name: 'test', level: 'silent' }) });
    await client.connect();
    await redis.kill();
    await eventually(() => {
      expect(isReady(client)).toBe(false);
    });
    const deps = { locks: createLocks(client), keys: test.keys, database: test.database };
    const holder = { workspace: 'default', token: 't', signal: new AbortController().signal, left: new AbortController().signal };
    const taking = withNamedLock(deps, holder, { resource: 'r', options: {}, fn: () => 1 });
    await expect(taking).rejects.toMatchObject({ code: 'dependency-unavailable' });
    client.disconnect();
  });
});
