// Admission on a real database: order and number under concurrency keys, several windows of a rate at once, several processes at once.
// What frees places elsewhere rings the doorbells; here the tests ring themselves.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { SlidingWindow, UsedOfWindow } from '@millrace/shared';
import { eventually } from '@millrace/testing';
import { inTransaction } from '../../database.ts';
import { createStoreFixture, newFlow, type StoreFixture } from '../../test-support/store-fixture.ts';
import { EVERYBODY, pauseQueue, resumeQueue } from '../../queues/pause-queue.ts';
import { createFlows, type NewFlow } from '../create-flows.ts';
import { admitDue } from './admit.ts';
import { takeFromLimits } from '../../limits/take-tokens.ts';
import type { KnownLimits } from './admit-rates.ts';

let store: StoreFixture;
beforeEach(async () => {
  store = await createStoreFixture();
});
afterEach(async () => {
  await store.close();
});

const NONE: KnownLimits = new Map();
const keyed = (key: string, limit: number, changes: Partial<NewFlow> = {}) =>
  newFlow([[]], { extras: { concurrency: { key, limit } }, ...changes });
const rated = (rateKey: string, changes: Partial<NewFlow> = {}): NewFlow => {
  const flow = newFlow([[]], changes);
  return { ...flow, phases: flow.phases.map((phase) => ({ ...phase, rateKey })) };
};
const make = async (...flows: NewFlow[]) =>
  (await createFlows(store.database.hot, flows)).map((made) => (made.kind === 'created' ? made.flowId : ''));
const ringLimit = (key: string) =>
  store.sql("INSERT INTO millrace.admissions (workspace, kind, key) VALUES ('default', 'limit', $1)", [key]);
const end = async (ids: readonly string[], key: string) => {
  await store.sql("/* forged */ UPDATE millrace.phases SET status = 'completed' WHERE flow_id = ANY($1::uuid[])", [ids]);
  await store.sql("/* forged */ UPDATE millrace.flows SET status = 'completed', phases_open = 0 WHERE id = ANY($1::uuid[])", [ids]);
  await ringLimit(key);
};
/** Admits until no doorbell is due. */
const settle = async (limits: KnownLimits = NONE) => {
  let admitted = 0;
  for (;;) {
    const outcome = await admitDue(store.database, limits);
    admitted += outcome.admitted;
    if (outcome.waitMs !== 0) return { admitted, waitMs: outcome.waitMs };
  }
};
const ask = async (key: string, windows: readonly SlidingWindow[]) =>
  (await takeFromLimits(store.database.main, [{ workspace: 'default', key, windows, units: 1, lineUpAfterMs: null }]))[0];
const letOut = async (rateKey: string) =>
  (
    await store.sql<{ count: number }>('SELECT count(*)::int AS count FROM millrace.phases WHERE held IS NULL AND rate_key = $1', [rateKey])
  )[0]?.count ?? 0;
const admittedIds = async (key: string) =>
  (
    await store.sql<{ id: string }>(
      "SELECT id FROM millrace.flows WHERE concurrency_key = $1 AND admitted AND status NOT IN ('completed', 'failed', 'cancelled') ORDER BY id",
      [key],
    )
  ).map((row) => row.id);
const heldOf = async (ids: readonly string[]) => {
  const rows = await store.sql<{ flow_id: string; held: string | null }>(
    'SELECT flow_id, held FROM millrace.phases WHERE flow_id = ANY($1::uuid[])',
    [ids],
  );
  return ids.map((id) => rows.find((row) => row.flow_id === id)?.held);
};

describe('a concurrency key', () => {
  it('lets in as many as it allows, first in first out, and the next when one has ended', async () => {
    const ids = await make(...Array.from({ length: 5 }, () => keyed('k', 2)));
    expect(await heldOf(ids)).toEqual(['limit', 'limit', 'limit', 'limit', 'limit']);
    expect(await settle()).toEqual({ admitted: 2, waitMs: null });
    expect(await heldOf(ids)).toEqual([null, null, 'limit', 'limit', 'limit']);
    await end([ids[1] ?? ''], 'k');
    await settle();
    expect(await admittedIds('k')).toEqual([ids[0], ids[2]]);
    expect(await store.sql('SELECT FROM millrace.admissions')).toEqual([]);
  });

  it('is decided by the limit of the flow whose turn it is', async () => {
    const ids = await make(keyed('k', 3), keyed('k', 3), keyed('k', 1), keyed('k', 10));
    await settle();
    expect(await admittedIds('k')).toEqual(ids.slice(0, 2));
    await end(ids.slice(0, 1), 'k');
    await settle();
    expect(await admittedIds('k')).toEqual([ids[1]]);
    await end(ids.slice(1, 2), 'k');
    await settle();
    expect(await admittedIds('k')).toEqual(ids.slice(2, 4));
  });

  it('counts flows that wait or are paused, and holds those that were paused before their turn', async () => {
    const ids = await make(keyed('k', 1), keyed('k', 1), keyed('k', 1));
    await settle();
    for (const status of ['waiting', 'paused']) {
      await store.sql('/* forged */ UPDATE millrace.flows SET status = $2 WHERE id = $1', [ids[0], status]);
      await ringLimit('k');
      expect((await settle()).admitted).toBe(0);
    }
    await store.sql("UPDATE millrace.flows SET status = 'paused' WHERE id = $1", [ids[1]]);
    await end(ids.slice(0, 1), 'k');
    await settle();
    expect(await heldOf(ids)).toEqual([null, 'pause', 'limit']);
  });

  it('passes over flows that have ended, are to run later, or have no phases yet', async () => {
    const ids = await make(
      keyed('k', 1),
      keyed('k', 1, { runAt: new Date(Date.now() + 60_000).toISOString() }),
      keyed('k', 1),
      keyed('k', 1),
    );
    await store.sql("/* forged */ UPDATE millrace.flows SET status = 'cancelled' WHERE id = $1", [ids[0]]);
    await store.sql('UPDATE millrace.flows SET planned = false WHERE id = $1', [ids[2]]);
    await settle();
    expect(await admittedIds('k')).toEqual([ids[3]]);
  });

  it('belongs to its workspace', async () => {
    const ids = await make(keyed('k', 1), keyed('k', 1, { workspace: 'other' }));
    await settle();
    expect(await heldOf(ids)).toEqual([null, null]);
  });

  it('holds an admitted phase for its rate next, and rings for that', async () => {
    const [id] = await make({ ...rated('api'), extras: { concurrency: { key: 'k', limit: 1 } } });
    await settle();
    expect(await heldOf([id ?? ''])).toEqual(['rate']);
    await settle(new Map([['api', [{ max: 1, perMs: 60_000 }]]]));
    expect(await heldOf([id ?? ''])).toEqual([null]);
  });

  it('loses no place when flows end or come while others are let in', async () => {
    const pending = await make(...Array.from({ length: 60 }, () => keyed('k', 4)));
    let made = pending.length;
    const feed = (async () => {
      for (; made < 100; made += 1) await make(keyed('k', 4));
    })();
    let done = 0;
    await eventually(
      async () => {
        await Promise.all([admitDue(store.database, NONE), admitDue(store.database, NONE)]);
        const now = await admittedIds('k');
        expect(now.length).toBeLessThanOrEqual(4);
        if (now.length > 0) await end(now.slice(0, 1 + (done % 4)), 'k');
        done += Math.min(now.length, 1 + (done % 4));
        if (done < 100) throw new Error(`${done} of 100`);
      },
      { withinMs: 30_000 },
    );
    await feed;
    expect(done).toBe(100);
  }, 40_000);

  it('never has more than 3 of 1,000 flows at a time, with two processes that admit and three that work, in their order', async () => {
    await make(...Array.from({ length: 1_000 }, () => keyed('k', 3)));
    const order: string[] = [];
    let most = 0;
    let over = false;
    const admitter = async () => {
      while (!over) await admitDue(store.database, NONE);
    };
    const work = (async () => {
      while (order.length < 1_000) {
        const now = await admittedIds('k');
        most = Math.max(most, now.length);
        if (now.length === 0) continue;
        order.push(...now);
        await end(now, 'k');
      }
      over = true;
    })();
    await Promise.all([admitter(), admitter(), work]);
    expect(most).toBe(3);
    expect(order).toEqual(order.toSorted());
    expect(new Set(order).size).toBe(1_000);
  }, 60_000);
});

describe('a rate limit', () => {
  const limits = (...windows: { max: number; perMs: number }[]): KnownLimits => new Map([['api', windows]]);

  it('lets out as many as all its windows allow, most urgent first, and comes back when the next token is there', async () => {
    const ids = await make(...Array.from({ length: 6 }, (_, n) => rated('api', { priority: n === 5 ? 1 : 50 })));
    const both = limits({ max: 3, perMs: 600 }, { max: 4, perMs: 60_000 });
    const first = await settle(both);
    expect(first.admitted).toBe(3);
    expect(await heldOf(ids)).toEqual([null, null, 'rate', 'rate', 'rate', null]);
    expect(first.waitMs).toBeGreaterThan(0);
    expect(first.waitMs).toBeLessThanOrEqual(600);
    await eventually(async () => {
      await settle(both);
      expect(await heldOf(ids)).toEqual([null, null, null, 'rate', 'rate', null]);
    });
    const last = await settle(both);
    expect([last.admitted, (last.waitMs ?? 0) > 50_000]).toEqual([0, true]);
  });

  it('keeps each key of a limit apart, and each workspace', async () => {
    const ids = await make(rated('api:a'), rated('api:a'), rated('api:b'), rated('api:a', { workspace: 'other' }));
    await settle(limits({ max: 1, perMs: 60_000 }));
    expect(await heldOf(ids)).toEqual([null, 'rate', null, null]);
  });

  it('leaves limits that this process does not know to others', async () => {
    const ids = await make(rated('elsewhere'), rated('api'));
    expect(await settle(limits({ max: 1, perMs: 60_000 }))).toMatchObject({ admitted: 1 });
    expect(await heldOf(ids)).toEqual(['rate', null]);
    expect(await settle(new Map([['elsewhere', [{ max: 1, perMs: 60_000 }]]]))).toMatchObject({ admitted: 1 });
  });

  it('takes no token for a phase whose flow was cancelled, and holds one whose flow was paused', async () => {
    const ids = await make(rated('api'), rated('api'), rated('api'));
    await store.sql("/* forged */ UPDATE millrace.phases SET status = 'cancelled' WHERE flow_id = $1", [ids[0]]);
    await store.sql("UPDATE millrace.flows SET status = 'paused' WHERE id = $1", [ids[1]]);
    await settle(limits({ max: 1, perMs: 60_000 }));
    expect((await heldOf(ids)).slice(1)).toEqual(['pause', null]);
  });

  describe('of a paused queue', () => {
    const known = limits({ max: 2, perMs: 60_000 });
    const pause = (workspace: string, until: Date | null = null) =>
      pauseQueue(store.database.main, { queue: 'flow-phase', workspace, by: 'test', reason: null, until });
    const resume = (workspace: string) => resumeQueue(store.database.main, { queue: 'flow-phase', workspace });
    const inAnHour = () => new Date(Date.now() + 3_600_000);

    it('gives no unit and asks for nothing until the queue is resumed', async () => {
      const ids = await make(rated('api'), rated('api'), rated('api'), rated('api', { workspace: 'other' }));
      await pause('default');
      expect(await settle(known)).toMatchObject({ admitted: 1 });
      expect(await heldOf(ids)).toEqual(['rate', 'rate', 'rate', null]);
      expect(await store.sql("SELECT FROM millrace.rate_limits WHERE workspace = 'default'")).toEqual([]);
      expect(await store.sql("SELECT FROM millrace.admissions WHERE workspace = 'default' AND next_at < 'infinity'")).toEqual([]);
      await resume('default');
      expect(await settle(known)).toMatchObject({ admitted: 2 });
      expect((await settle(known)).waitMs).toBeGreaterThan(50_000);
    });

    it('comes back at the end of the pause, of the longer one of two', async () => {
      await make(rated('api'));
      await pause(EVERYBODY, new Date(Date.now() + 60_000));
      await pause('default', inAnHour());
      expect((await settle(known)).waitMs).toBeGreaterThan(3_500_000);
      await store.sql('UPDATE millrace.queue_pauses SET until = now()');
      await store.sql('UPDATE millrace.admissions SET next_at = now()');
      expect((await settle(known)).admitted).toBe(1);
    });

    it('stays where it is when the pause of another scope ends, and hears of one that takes its place', async () => {
      await make(rated('api'));
      await pause('default');
      await pause(EVERYBODY);
      await settle(known);
      await resume('default');
      expect(await settle(known)).toEqual({ admitted: 0, waitMs: null });
      await pause(EVERYBODY, inAnHour());
      expect((await settle(known)).waitMs).toBeGreaterThan(3_500_000);
    });

    it('misses no resume that comes while it is looked at', async () => {
      const blocked = async (count: number) => {
        const waiting = await store.sql("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'");
        expect(waiting).toHaveLength(count);
      };
      await make(rated('api'));
      await pause('default');
      let done: Promise<unknown>[] = [];
      await inTransaction(store.database.long, async (client) => {
        await client.query('SELECT FROM millrace.admissions FOR UPDATE');
        done = [admitDue(store.database, known)];
        await eventually(() => blocked(1));
        done.push(resume('default'));
        await eventually(() => blocked(2));
      });
      await Promise.all(done);
      expect((await settle(known)).admitted).toBe(1);
    });
  });

  it('waits for the start time of what is to run later', async () => {
    const [id = ''] = await make(rated('api', { runAt: new Date(Date.now() + 60_000).toISOString() }));
    expect((await settle(limits({ max: 5, perMs: 60_000 }))).admitted).toBe(0);
    await store.sql('UPDATE millrace.phases SET due_at = NULL WHERE flow_id = $1', [id]);
    await store.sql("INSERT INTO millrace.admissions (workspace, kind, key) VALUES ('default', 'rate', 'api')");
    expect((await settle(limits({ max: 5, perMs: 60_000 }))).admitted).toBe(1);
  });

  it('never gives more than a window has, to any number of processes and to handlers that ask at the same time', async () => {
    const windows = [{ max: 40, perMs: 60_000 }];
    await make(...Array.from({ length: 100 }, () => rated('api')));
    const asked = Promise.all(Array.from({ length: 30 }, () => ask('api', windows)));
    await Promise.all(Array.from({ length: 4 }, () => settle(new Map([['api', windows]]))));
    const taken = (await asked).filter((answer) => answer?.taken === true).length;
    expect(taken + (await letOut('api'))).toBe(40);
    // Whoever was first, there is nothing left for the other.
    expect(await ask('api', windows)).toMatchObject({ taken: false });
    expect((await settle(new Map([['api', windows]]))).admitted).toBe(0);
  });

  it('gives half to handlers and half to dispatch, never more than a window has at any time', async () => {
    const windows = [
      { max: 6, perMs: 400 },
      { max: 20, perMs: 2_000 },
    ];
    const known: KnownLimits = new Map([['api', windows]]);
    await make(...Array.from({ length: 20 }, () => rated('api:half')));
    let byHandlers = 0;
    await eventually(
      async () => {
        const answers = byHandlers < 20 ? await Promise.all([ask('api:half', windows), ask('api:half', windows)]) : [];
        byHandlers += answers.filter((answer) => answer?.taken === true).length;
        await admitDue(store.database, known);
        const [row] = await store.sql<{ used: UsedOfWindow[] }>("SELECT used FROM millrace.rate_limits WHERE key = 'api:half'");
        for (const { max, perMs } of windows) {
          const log = row?.used.find((one) => one.perMs === perMs)?.taken ?? [];
          const lastAt = log.at(-1)?.[0] ?? 0;
          const inSpan = log.filter(([atMs]) => atMs > lastAt - perMs).reduce((sum, [, units]) => sum + units, 0);
          expect(inSpan).toBeLessThanOrEqual(max);
        }
        if (byHandlers < 20 || (await letOut('api:half')) < 20) throw new Error('tokens are still to come');
      },
      { withinMs: 15_000 },
    );
  }, 20_000);

  it('is cleared away also when only handlers have used it', async () => {
    const short = [{ max: 3, perMs: 50 }];
    await ask('api:only', short);
    await eventually(async () => {
      await settle(new Map([['api', short]]));
      expect(await store.sql('SELECT FROM millrace.rate_limits')).toEqual([]);
    });
    expect(await store.sql('SELECT FROM millrace.admissions')).toEqual([]);
  });

  it('leaves nothing behind when everything has run out', async () => {
    await make(rated('api'));
    // Long enough that it has not run out before it is looked at, on however busy a machine.
    const short = limits({ max: 1, perMs: 2_000 });
    await settle(short);
    expect(await store.sql('SELECT FROM millrace.rate_limits')).toHaveLength(1);
    await eventually(async () => {
      await settle(short);
      expect(await store.sql('SELECT FROM millrace.rate_limits')).toEqual([]);
    });
    expect(await store.sql('SELECT FROM millrace.admissions')).toEqual([]);
  });
});
