// Redis forgets everything, dies, or PostgreSQL is restarted, all under load: nothing is lost, nothing is done twice.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import { createTestStack, eventually, flowEnded, phaseRunning, startFlow, type TestStack } from '@millrace/testing';
import { allCompleted, expectExactLedger, flowCounts, startLedgers } from '../support/ledger.ts';
import { startPrivateServers, type PrivateServers } from '../support/private-servers.ts';

const FLOW_COUNT = 300;

let servers: PrivateServers;
let stack: TestStack;

beforeEach(async () => {
  servers = await startPrivateServers();
  stack = await createTestStack({ servers });
  await stack.startApi();
  await Promise.all([stack.startWorker(), stack.startWorker()]);
}, 90_000);

afterEach(async () => {
  await stack.close();
  await servers.stop();
}, 90_000);

async function postgresStartedAt(): Promise<number> {
  const result = await stack.database.database.main.query<{ at: Date }>('SELECT pg_postmaster_start_time() AS at');
  return result.rows[0]?.at.getTime() ?? 0;
}

async function underLoad(): Promise<void> {
  await startLedgers(stack, FLOW_COUNT);
  // The first ones end late: hundreds are under way at a time, and a cold connection plans its statements anew.
  await eventually(
    async () => {
      expect((await flowCounts(stack))['completed']).toBeGreaterThan(3);
    },
    { withinMs: 90_000 },
  );
}

describe('under load', () => {
  it('everything unfinished completes after FLUSHALL', async () => {
    await underLoad();
    await servers.flushRedis();
    expect((await flowCounts(stack))['completed']).toBeLessThan(FLOW_COUNT);
    await allCompleted(stack, FLOW_COUNT, 90_000);
    await expectExactLedger(stack, FLOW_COUNT);
  }, 300_000);

  it('flows are accepted while Redis is dead and complete when it is back', async () => {
    await underLoad();
    await servers.killRedis();
    await startLedgers(stack, 50, 'meanwhile');
    await allCompleted(stack, FLOW_COUNT + 50, 120_000);
    await expectExactLedger(stack, FLOW_COUNT + 50);
  }, 300_000);

  it('a restart of PostgreSQL costs nothing but time', async () => {
    await underLoad();
    const before = await postgresStartedAt();
    expect((await flowCounts(stack))['completed']).toBeLessThan(FLOW_COUNT);
    await servers.restartPostgres();
    // The test's own connections were cut as well: the first questions may fail.
    await eventually(
      async () => {
        expect(await postgresStartedAt()).toBeGreaterThan(before);
      },
      { withinMs: 30_000 },
    );
    await allCompleted(stack, FLOW_COUNT, 120_000);
    await expectExactLedger(stack, FLOW_COUNT);
    expect((await stack.client.get('/health/ready')).status).toBe(200);
  }, 300_000);
});

describe('PostgreSQL that is silent for longer than a lease', () => {
  it('costs no attempt and counts no crash', async () => {
    const ids = await Promise.all([2_000, 2_000, 15_000, 15_000].map((ms) => startFlow(stack.client, 'selftest.sleep', { ms })));
    await Promise.all(ids.map((id) => phaseRunning(stack.client, id)));
    const thaw = await servers.freezePostgres();
    // The fault itself: leases last 10 s.
    await delay(13_000);
    thaw();
    for (const id of ids)
      expect(await flowEnded(stack.client, id, 60_000)).toMatchObject({ status: 'completed', phases: [{ attempts: 1 }] });
    await eventually(
      async () => {
        const counted = await stack.database.database.main.query('SELECT id, crashes FROM millrace.phases WHERE crashes > 0');
        expect(counted.rows).toEqual([]);
      },
      { withinMs: 15_000 },
    );
  }, 300_000);
});
