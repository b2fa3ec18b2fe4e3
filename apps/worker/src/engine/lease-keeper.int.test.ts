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
const LEASE_MS = 3_000;
let test: EngineFixture;

beforeEach(async () => {
  test = await createEngineFixture();
});

afterEach(async () => {
  await test.close();
});

async function claimTwo(): Promise<ClaimedPhase[]> {
  const flowId = await test.start(test.define({ a: { run: () => 1 }, b: { run: () => 2 } }));
  const jobs = [0, 1].map((n) => ({ id: memberId(flowId, n), generation: 1 }));
  const { results } = await claimPhases(test.database.hot, jobs, { worker: WORKER, leaseMs: LEASE_MS });
  return results.flatMap((result) => (result.kind === 'claimed' ? [result.phase] : []));
}

describe('the lease keeper', () => {
  it('stops what lies behind a row that is held for longer than its lease, and keeps the rest', async () => {
    const running = createRunningPhases();
    const phases = await claimTwo();
    const [held, free] = phases.map((phase) => running.add(phase, { claimedAtMs: systemClock.monotonicMs(), deliveryId: phase.id }));
    const keeper = createLeaseKeeper({
      database: test.database,
      locks: test.locks,
      lockOf: (id) => ({ key: test.keys.lock('default', id), token: WORKER }),
      running,
      clock: systemClock,
      log: createLogger({ name: 'test', level: 'silent' }),
      workerId: WORKER,
      leaseMs: LEASE_MS,
      onPass: () => undefined,
    });
    const reasonOf = (one: RunningPhase | undefined) => one?.stopReason();
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
});
