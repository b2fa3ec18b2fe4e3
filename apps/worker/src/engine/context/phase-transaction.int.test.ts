import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { PhaseContext, TransactionClient } from '@millrace/sdk';
import { createDatabase } from '@millrace/store';
import { eventually } from '@millrace/testing';
import { createEngineFixture, gate, type EngineFixture } from '../test-support/engine-fixture.ts';
import { createPhaseTransaction } from './phase-transaction.ts';

const ONCE = { attempts: 1 } as const;
const QUICK = { attempts: 3, backoff: { type: 'fixed', delay: 10 } } as const;
let test: EngineFixture;

beforeAll(async () => {
  test = await createEngineFixture();
  await test.engine();
});

afterAll(async () => {
  await test.close();
});

const insert = (client: TransactionClient, key: string, phase: string) =>
  client.query('INSERT INTO selftest_ledger (key, phase) VALUES ($1, $2)', [key, phase]);

async function run(handler: (ctx: PhaseContext) => unknown, retry: object = ONCE) {
  const flowId = await test.start(test.define({ only: { retry, run: handler } }));
  const {
    phases: [phase],
  } = await test.ended(flowId);
  return { phase, rows: await test.ledger(flowId), flowId };
}

describe('ctx.transaction', () => {
  it('commits together with the phase, and not before', async () => {
    const { phase, rows } = await run(async (ctx) => {
      await ctx.transaction((client) => insert(client, ctx.flowId, 'a'));
      return test.ledger(ctx.flowId);
    });
    expect([phase?.status, phase?.output, rows]).toEqual(['completed', [], ['a']]);
  });

  it('is one transaction for all calls of an attempt, also at the same time', async () => {
    const { phase, rows } = await run(async (ctx) => {
      const xids = await Promise.all(
        ['a', 'b', 'c'].map((name) =>
          ctx.transaction(async (client) => {
            await insert(client, ctx.flowId, name);
            return (await client.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid')).rows[0]?.xid;
          }),
        ),
      );
      return new Set(xids).size;
    });
    expect([phase?.output, rows]).toEqual([1, ['a', 'b', 'c']]);
  });

  it('is undone when the handler fails, attempt after attempt', async () => {
    const { phase, rows } = await run(async (ctx) => {
      await ctx.transaction((client) => insert(client, ctx.flowId, `attempt-${ctx.attempt}`));
      if (ctx.attempt < 3) throw new Error('no');
    }, QUICK);
    expect([phase?.status, rows]).toEqual(['completed', ['attempt-3']]);
  });

  it('is undone when the result cannot be kept', async () => {
    const { phase, rows } = await run(async (ctx) => {
      await ctx.transaction((client) => insert(client, ctx.flowId, 'a'));
      return 1n;
    });
    expect([phase?.error?.code, rows]).toEqual(['output-invalid', []]);
  });

  it('undoes one failed call only, when the handler goes on', async () => {
    const { phase, rows } = await run(async (ctx) => {
      await ctx.transaction((client) => insert(client, ctx.flowId, 'kept'));
      await ctx
        .transaction(async (client) => {
          await insert(client, ctx.flowId, 'undone');
          await client.query('SELECT 1/0');
        })
        .catch(() => undefined);
      await ctx
        .transaction(async (client) => {
          await insert(client, ctx.flowId, 'undone too');
          throw new Error('own');
        })
        .catch(() => undefined);
      await ctx.transaction((client) => insert(client, ctx.flowId, 'kept too'));
    });
    expect([phase?.status, rows]).toEqual(['completed', ['kept', 'kept too']]);
  });

  it('called inside itself is a part of the outer call: undone alone when it fails, and with the outer one when that does', async () => {
    const { phase, rows } = await run(async (ctx) => {
      const within = (name: string, fail: boolean) =>
        ctx.transaction(async (client) => {
          await insert(client, ctx.flowId, name);
          if (fail) throw new Error('own');
        });
      await ctx.transaction(async (client) => {
        await insert(client, ctx.flowId, 'outer');
        await within('inner', false);
        await within('undone', true).catch(() => undefined);
        await insert(client, ctx.flowId, 'outer after');
      });
      return ctx
        .transaction(async () => {
          await within('undone with the outer', false);
          await within('undone too', true).catch(() => undefined);
          throw new Error('outer');
        })
        .catch((error: Error) => error.message);
    });
    expect([phase?.status, phase?.output, rows]).toEqual(['completed', 'outer', ['inner', 'outer', 'outer after']]);
  });

  it('lets inner calls take turns, at every depth, and ends after those that nobody awaited', async () => {
    const { phase, rows } = await run(async (ctx) => {
      const write = (name: string) => ctx.transaction((client) => insert(client, ctx.flowId, name));
      const pair = (name: string) =>
        ctx.transaction(async () => {
          await Promise.all([write(`${name}1`), write(`${name}2`)]);
          return name;
        });
      const names = await ctx.transaction(async () => {
        void write('unawaited');
        return Promise.all([pair('a'), pair('b')]);
      });
      await ctx
        .transaction(async () => {
          void write('unawaited and undone');
          await pair('c');
          throw new Error('own');
        })
        .catch(() => undefined);
      return names;
    });
    expect([phase?.status, phase?.output, rows]).toEqual(['completed', ['a', 'b'], ['a1', 'a2', 'b1', 'b2', 'unawaited']]);
  });

  it('called by what an ended call left behind takes a turn of its own', async () => {
    const { phase, rows } = await run(async (ctx) => {
      const goOn = gate();
      let late: Promise<unknown> = Promise.resolve();
      await ctx.transaction(async (client) => {
        await insert(client, ctx.flowId, 'a');
        late = goOn.promise.then(() => ctx.transaction((inner) => insert(inner, ctx.flowId, 'late')));
      });
      goOn.resolve();
      await late;
    });
    expect([phase?.status, rows]).toEqual(['completed', ['a', 'late']]);
  });

  it('answers what its function answers, and passes on what it throws', async () => {
    const { phase } = await run(async (ctx) => [
      await ctx.transaction(() => Promise.resolve(42)),
      await ctx.transaction(() => Promise.reject(new Error('own'))).catch((error: Error) => error.message),
      await ctx.transaction((client) => client.query('SELEC')).catch((error: { code: string }) => error.code),
    ]);
    expect(phase?.output).toEqual([42, 'own', '42601']);
  });

  it('fails the attempt when a constraint breaks at its commit', async () => {
    await test.database.main.query('CREATE TABLE IF NOT EXISTS deferred_parent (id int PRIMARY KEY)');
    await test.database.main.query(
      'CREATE TABLE IF NOT EXISTS deferred_child (parent int REFERENCES deferred_parent DEFERRABLE INITIALLY DEFERRED)',
    );
    const { phase } = await run((ctx) => ctx.transaction((client) => client.query('INSERT INTO deferred_child VALUES (1)')));
    expect(phase).toMatchObject({ status: 'failed', error: { code: '23503' } });
  });

  it("makes the handler's own failed connection to somewhere else its own failure", async () => {
    const { phase } = await run((ctx) =>
      ctx.transaction(() => Promise.reject(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }))),
    );
    expect(phase).toMatchObject({ status: 'failed', attempts: 1, error: { code: 'ECONNREFUSED' } });
  });

  it('costs an attempt when the server ended it because the handler left it idle', async () => {
    const { phase } = await run(async (ctx) => {
      await ctx.transaction((client) => client.query("SET LOCAL idle_in_transaction_session_timeout = '50ms'"));
      await eventually(async () => {
        const found = await test.database.main.query(
          "SELECT FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()",
        );
        expect(found.rowCount).toBe(0);
      });
    });
    expect(phase).toMatchObject({ status: 'failed', attempts: 1, error: { message: expect.stringContaining('idle') } });
  });

  it("is nobody's failure when its connection is cut", async () => {
    let cut = false;
    const { phase, rows, flowId } = await run(async (ctx) => {
      await ctx.transaction((client) => insert(client, ctx.flowId, 'a'));
      if (cut) return;
      cut = true;
      const pid = await ctx.transaction(
        async (client) => (await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid,
      );
      await test.database.main.query('SELECT pg_terminate_backend($1)', [pid]);
    });
    expect([phase?.status, phase?.attempts, rows]).toEqual(['completed', 1, ['a']]);
    expect((await test.events(flowId)).find((event) => event.data['reason'] !== undefined)).toMatchObject({
      type: 'phase.queued',
      data: { reason: 'dependency-unavailable' },
    });
  }, 15_000);

  it('does not let a client be used after its call', async () => {
    const { phase, rows } = await run(async (ctx) => {
      const kept = await ctx.transaction((client) => Promise.resolve({ client }));
      return insert(kept.client, ctx.flowId, 'stray').then(
        () => 'worked',
        () => 'refused',
      );
    });
    expect([phase?.output, rows]).toEqual(['refused', []]);
  });
});

describe('the transaction of an attempt', () => {
  const away = () => createDatabase({ url: 'postgres://nobody@127.0.0.1:1/none', name: 'away', onError: () => undefined });

  it('that could not be opened can be rolled back without a failure', async () => {
    const transaction = createPhaseTransaction({ long: away().long });
    await expect(transaction.run(() => Promise.resolve())).rejects.toMatchObject({ code: 'dependency-unavailable' });
    expect(transaction.isOpen()).toBe(false);
    transaction.rollback();
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  });

  it('is closed for ever once it was committed or rolled back, so that nothing is opened that nobody would close', async () => {
    const [committed, undone, unused] = [1, 2, 3].map(() => createPhaseTransaction(test.database));
    await committed?.run((client) => client.query('SELECT 1'));
    await committed?.commit(() => Promise.resolve({ commit: true, result: null }));
    await undone?.run((client) => client.query('SELECT 1'));
    undone?.rollback();
    unused?.rollback();
    for (const transaction of [committed, undone, unused])
      await expect(transaction?.run((client) => client.query('SELECT 1'))).rejects.toThrow('has ended');
    await eventually(() => {
      expect(test.database.long.idleCount).toBe(test.database.long.totalCount);
    });
  });

  it('waits at no cost while all connections are in use', async () => {
    const other = await createEngineFixture();
    const engine = await other.engine({ longMax: 1 });
    const [holding, goOn] = [gate(), gate()];
    const holder = await other.start(
      other.define({
        only: {
          retry: ONCE,
          run: async (ctx: PhaseContext) => {
            await ctx.transaction((client) => insert(client, ctx.flowId, 'a'));
            holding.resolve();
            await goOn.promise;
          },
        },
      }),
    );
    await holding.promise;
    const waiter = await other.start(
      other.define({
        only: {
          retry: ONCE,
          run: async (ctx: PhaseContext) => {
            await ctx.transaction((client) => insert(client, ctx.flowId, 'b'));
          },
        },
      }),
    );
    await eventually(() => {
      expect(engine.running.list()).toHaveLength(2);
    });
    goOn.resolve();
    for (const flowId of [holder, waiter])
      expect((await other.ended(flowId)).phases[0]).toMatchObject({ status: 'completed', attempts: 1 });
    expect([await other.ledger(holder), await other.ledger(waiter)]).toEqual([['a'], ['b']]);
    await other.close();
  });
});
