// Leases are trusted for as long as PostgreSQL has put them off, and no longer.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger, systemClock } from '@millrace/process';
import { memberId } from '@millrace/shared';
import { claimPhases, type ClaimedPhase } from '@millrace/store';
import { eventually } from '@millrace/testing';
import { createLeaseKeeper } from './lease-keeper.ts';
import { createRunningPhases, type RunningPhase } from './running-phases.ts';
import { createEngineFixture, type EngineFixture } from './test-support/engine-fixture.ts';

const WORKER = 'keeper';
const SHORT_LEASE_MS = 3_000;
const LEASE_MS = 9_000;
let test: EngineFixture;

beforeEach(async () => {
  test = await createEngineFixture();
});

afterEach(async () => {
  await test.close();
});

async function claimTwo(leaseMs: number): Promise<ClaimedPhase[]> {
  const flowId = await test.start(test.define({ a: { run: () => 1 }, b: { run: () => 2 } }));
  const jobs = [0, 1].map((n) => ({ id: memberId(flowId, n), generation: 1 }));
  const { results } = await claimPhases(test.database.hot, jobs, { worker: WORKER, leaseMs });
  return results.flatMap((result) => (result.kind === 'claimed' ? [result.phase] : []));
}

async function keep(leaseMs: number) {
  const running = createRunningPhases();
  const all = (await claimTwo(leaseMs)).map((phase) =>
    running.add(phase, { claimedAtMs: systemClock.monotonicMs(), deliveryId: phase.id }),
  );
  const keeper = createLeaseKeeper({
    database: test.database,
    locks: test.locks,
    lockOf: (id) => ({ key: test.keys.lock('default', id), token: WORKER }),
    running,
    clock: systemClock,
    log: createLogger({ name: 'test', level: 'silent' }),
    workerId: WORKER,
    leaseMs,
    onPass: () => undefined,
  });
  return { keeper, all };
}

const reasonOf = (one: RunningPhase | undefined) => one?.stopReason();

async function leaseEndsAt({ id }: ClaimedPhase): Promise<number> {
  const found = await test.database.main.query<{ due_at: Date }>('SELECT due_at FROM millrace.phases WHERE id = $1', [id]);
  return found.rows[0]?.due_at.getTime() ?? 0;
}

async function someoneWaitsForALock(): Promise<void> {
  const waiting = await test.database.main.query(
    "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
  );
  if (waiting.rowCount === 0) throw new Error('nobody waits');
}

describe('the lease keeper', () => {
  it('stops what lies behind a row that is held for longer than its lease, and keeps the rest', async () => {
    const { keeper, all } = await keep(SHORT_LEASE_MS);
    const [held, free] = all;
    await keeper.start();
    await test.database.transaction(async (client) => {
      await client.query('SELECT FROM millrace.phases WHERE id = $1 FOR UPDATE', [held?.phase.id]);
      await eventually(() => {
        expect(reasonOf(held)).toBe('lease-lost');
      });
    });
    expect(reasonOf(free)).toBeUndefined();
    await keeper.stop(1_000);
  });

  it('waits for a row that is held at each of its passes, as by a handler that keeps one step after the other', async () => {
    const { keeper, all } = await keep(LEASE_MS);
    const [held] = all;
    if (held === undefined) throw new Error('nothing was claimed');
    await keeper.start();
    const firstEnd = await leaseEndsAt(held.phase);
    for (let end = firstEnd; end < firstEnd + LEASE_MS;) {
      await test.database.transaction(async (client) => {
        await client.query('SELECT FROM millrace.phases WHERE id = $1 FOR SHARE', [held.phase.id]);
        await eventually(someoneWaitsForALock, { withinMs: LEASE_MS });
      });
      const before = end;
      end = await eventually(async () => {
        const now = await leaseEndsAt(held.phase);
        expect(now).toBeGreaterThan(before);
        return now;
      });
    }
    expect(all.map(reasonOf)).toEqual([undefined, undefined]);
    await keeper.stop(1_000);
  }, 60_000);
});
