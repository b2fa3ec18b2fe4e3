// The admission loop on a real database. Nothing here frees places by itself: the tests ring the doorbells that ends of flows ring.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger, type Loop } from '@millrace/process';
import { createFlowRegistry, defineFlow, type RateWindow } from '@millrace/sdk';
import { createFlows, type Database } from '@millrace/store';
import { createTestDatabase, eventually, type TestDatabase } from '@millrace/testing';
import { z } from 'zod';
import { createAdmissions, knownLimits } from './admissions.ts';

const log = createLogger({ name: 'test', level: 'silent' });
let own: TestDatabase;
let database: Database;
let running: Loop[];

beforeEach(async () => {
  own = await createTestDatabase();
  database = own.database;
  running = [];
});
afterEach(async () => {
  await Promise.all(running.map((loop) => loop.stop(2_000)));
  await own.drop();
});

const limited = (name: string, limits: Record<string, readonly RateWindow[]>, version = 1) =>
  defineFlow({ name, version, input: z.unknown(), limits, phases: { only: { run: () => null } } });

async function startAdmissions(limits: Record<string, readonly RateWindow[]> = {}) {
  let admitted = 0;
  const loop = createAdmissions({
    database,
    registry: createFlowRegistry([limited('f', limits)]),
    onAdmitted: () => {
      admitted += 1;
    },
    log,
    onPass: () => undefined,
  });
  running.push(loop);
  await loop.start();
  return () => admitted;
}

const accept = (count: number, { rateKey = null, key }: { rateKey?: string | null; key?: string }) =>
  createFlows(
    database.hot,
    Array.from({ length: count }, () => ({
      workspace: 'default',
      createdBy: 'test',
      name: 'f',
      version: 1,
      inputJson: '{}',
      tags: {},
      priority: 50,
      runAt: null,
      idempotency: null,
      dispatch: true,
      phases: [{ name: 'only', needs: [], dependants: [], attemptMax: 4, signal: null, waitTimeoutMs: null, rateKey }],
      ...(key === undefined ? {} : { extras: { concurrency: { key, limit: 2 } } }),
      respond: () => ({ status: 202, body: {} }),
    })),
  );
const freeCount = async () =>
  (await database.main.query<{ count: number }>('SELECT count(*)::int AS count FROM millrace.phases WHERE held IS NULL')).rows[0]?.count;

describe('the admission loop', () => {
  it('hears of places that others freed, and tells that something may be dispatched', async () => {
    const [first, second] = [await startAdmissions(), await startAdmissions()];
    await accept(5, { key: 'k' });
    await eventually(async () => {
      expect(await freeCount()).toBe(2);
    });
    await database.main.query(
      "/* forged */ UPDATE millrace.flows SET status = 'completed' WHERE id = (SELECT id FROM millrace.flows WHERE admitted ORDER BY id LIMIT 1)",
    );
    await database.main.query("INSERT INTO millrace.admissions (workspace, kind, key) VALUES ('default', 'limit', 'k')");
    await eventually(async () => {
      expect(await freeCount()).toBe(3);
    });
    // Told after the commit that is seen above.
    await eventually(() => {
      expect(first() + second()).toBe(2);
    });
  });

  it('comes back by itself when the next token is there, with no doorbell but its own', async () => {
    await startAdmissions({
      api: [
        { max: 2, per: '300ms' },
        { max: 5, per: '1h' },
      ],
    });
    await accept(8, { rateKey: 'api:customer' });
    await eventually(async () => {
      expect(await freeCount()).toBe(5);
    });
    const { rows } = await database.main.query<{ far: boolean }>(
      "SELECT next_at > now() + interval '50 minutes' AS far FROM millrace.admissions",
    );
    expect(rows).toEqual([{ far: true }]);
  });
});

describe('knownLimits', () => {
  it('takes the windows of the first name and its latest version, and none that are not well formed', () => {
    const known = knownLimits(
      createFlowRegistry([
        limited('b', { api: [{ max: 9, per: '1s' }], other: [{ max: 1, per: '2s' }] }),
        limited('a', { api: [{ max: 1, per: '1s' }] }, 1),
        limited('a', { api: [{ max: 2, per: '1m' }], zero: [{ max: 0, per: '1s' }], none: [], bad: [{ max: 1, per: 'soon' as '1s' }] }, 2),
      ]),
    );
    expect([...known]).toEqual([
      ['api', [{ max: 2, perMs: 60_000 }]],
      ['other', [{ max: 1, perMs: 2_000 }]],
    ]);
  });
});
