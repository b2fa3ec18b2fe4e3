// Pauses, counts and rates of queues.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { pauseFlow } from '../flows/pause-flow.ts';
import { failPhase } from '../flows/fail-phase.ts';
import { createStoreFixture, WORKER, type StoreFixture } from '../test-support/store-fixture.ts';
import { countFlowQueue, countImportQueue, readImportRate } from './count-queues.ts';
import { deleteEndedPauses, EVERYBODY, listQueuePauses, pauseQueue, resumeQueue } from './pause-queue.ts';
import { addQueueMinutes, deleteOldMinutes, readQueueRate } from './queue-minutes.ts';

let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

const pause = (workspace: string, until: Date | null = null, reason: string | null = null) =>
  pauseQueue(store.database.main, { queue: 'flow-phase', workspace, by: 'someone', reason, until });
const list = async (workspace: string) => (await listQueuePauses(store.database.main, workspace)).map((one) => one.workspace);

describe('pauses of queues', () => {
  it('hold for one workspace or for everybody, and end in their own scope', async () => {
    await pause('one');
    await pause(EVERYBODY);
    expect([await list('one'), await list('two')]).toEqual([[EVERYBODY, 'one'], [EVERYBODY]]);
    expect(await resumeQueue(store.database.main, { queue: 'flow-phase', workspace: 'two' })).toBe(false);
    expect(await resumeQueue(store.database.main, { queue: 'data-import', workspace: EVERYBODY })).toBe(false);
    expect(await resumeQueue(store.database.main, { queue: 'flow-phase', workspace: EVERYBODY })).toBe(true);
    expect(await resumeQueue(store.database.main, { queue: 'flow-phase', workspace: 'one' })).toBe(true);
    expect(await list('one')).toEqual([]);
  });

  it('take the place of an earlier one of the same scope', async () => {
    await pause('again', null, 'first');
    const until = new Date(Date.now() + 60_000);
    await pause('again', until, 'second');
    expect(await listQueuePauses(store.database.main, 'again')).toMatchObject([{ by: 'someone', reason: 'second', until }]);
  });

  it('do not count once their time is over, and are cleared away', async () => {
    await pause('over', new Date(Date.now() - 1_000));
    expect(await list('over')).toEqual([]);
    expect(await resumeQueue(store.database.main, { queue: 'flow-phase', workspace: 'over' })).toBe(false);
    await pause('over', new Date(Date.now() - 1_000));
    expect(await deleteEndedPauses(store.database.main)).toBe(1);
    expect(await deleteEndedPauses(store.database.main)).toBe(0);
  });
});

describe('countFlowQueue', () => {
  it('finds every phase where it stands, and none of another workspace', async () => {
    const workspace = 'counted';
    const make = (needs: readonly (readonly number[])[], changes: object = {}) => store.make(needs, { workspace, ...changes });
    await make([[], []], { dispatch: false });
    await make([[]]);
    await store.claim([(await make([[]])).phaseId(0)]);
    await make([[]], { runAt: new Date(Date.now() + 3_600_000).toISOString() });
    await make([[]], { extras: { concurrency: { key: 'k', limit: 1 } } });
    const single = { needs: [], dependants: [], attemptMax: 2, waitTimeoutMs: null };
    await make([], { phases: [{ ...single, name: 'rated', signal: null, rateKey: 'mail' }] });
    await make([], { phases: [{ ...single, name: 'waits', signal: 'go' }] });
    const { flowId } = await make([[]]);
    await pauseFlow(store.database, { flowId, workspace, by: 'x', reason: null, until: null });
    for (const retryDelayMs of [60_000, null]) {
      const [phase] = await store.claim([(await make([[]])).phaseId(0)]);
      const failure = { worker: WORKER, error: { code: 'Error', message: 'no' }, retryDelayMs };
      await failPhase(store.database, { id: phase?.id ?? '', fence: phase?.fence ?? 0, ...failure });
    }
    const delayed = await make([[]]);
    await store.sql("UPDATE millrace.phases SET due_at = now() + interval '40 seconds' WHERE id = $1", [delayed.phaseId(0)]);
    await store.make([[]], { workspace: 'another' });
    const { counts, oldestAt } = await countFlowQueue(store.database.main, workspace);
    expect(counts).toEqual({
      backlog: 2,
      dispatched: 1,
      running: 1,
      delayed: 2,
      scheduled: 1,
      held: { limit: 1, rate: 1, pause: 1, worker: 0 },
      waiting: 1,
      failed: 1,
    });
    expect(Math.abs(Date.now() - (oldestAt?.getTime() ?? 0))).toBeLessThan(10_000);
  });

  it('finds nothing in an empty workspace', async () => {
    const { counts, oldestAt } = await countFlowQueue(store.database.main, 'empty');
    expect({ ...counts, held: Object.values(counts.held) }).toEqual({
      backlog: 0,
      dispatched: 0,
      running: 0,
      delayed: 0,
      scheduled: 0,
      held: [0, 0, 0, 0],
      waiting: 0,
      failed: 0,
    });
    expect(oldestAt).toBeNull();
  });

  it('looks at no more than it counts, however much waits', async () => {
    await store.sql(
      `INSERT INTO millrace.phases (id, flow_id, workspace, name, status, priority, needs, dependants, needs_open, attempt_max, rank, held)
       SELECT gen_random_uuid(), gen_random_uuid(), 'crowded', 'p', 'queued', 50, '{}', '{}', 0, 1, n, CASE WHEN n % 2 = 0 THEN 'limit' END FROM generate_series(1, 60000) n`,
    );
    await store.sql('ANALYZE millrace.phases');
    const { counts } = await countFlowQueue(store.database.main, 'crowded');
    expect([counts.backlog, counts.held.limit]).toEqual([10_000, 10_000]);
    const plan = await store.sql<{ 'QUERY PLAN': string }>(
      `EXPLAIN SELECT count(*) FROM (SELECT FROM millrace.phases WHERE workspace = 'crowded' AND CASE WHEN status IN ('retrying', 'waiting') THEN true WHEN status = 'queued' AND NOT dispatched THEN held IS NOT NULL OR due_at IS NOT NULL ELSE false END AND status = 'queued' AND held = 'pause' LIMIT 10000) x`,
    );
    expect(plan.map((line) => line['QUERY PLAN']).join('\n')).toContain('phases_parked');
  });
});

describe('countImportQueue', () => {
  it('counts chunks of open imports, and imports that failed', async () => {
    const insert = (id: string, status: string, changes: { total?: number; done?: number } = {}) =>
      store.sql(
        `INSERT INTO millrace.imports (id, workspace, dataset, dataset_id, mode, format, status, options, chunks_total, chunks_done, queued_at, created_by)
         VALUES ($1, 'loading', 'd', gen_random_uuid(), 'insert', 'csv', $2, '{}', $3, $4, now() - interval '1 minute', 'test')`,
        [id, status, changes.total ?? 1, changes.done ?? 0],
      );
    const id = (n: number) => `0197000${n}-0000-7000-8000-000000000000`;
    await insert(id(1), 'running', { total: 10, done: 4 });
    await insert(id(2), 'failed');
    await insert(id(3), 'paused', { total: 5, done: 2 });
    const chunk = (n: number, status: string, finished: boolean) =>
      store.sql(
        `INSERT INTO millrace.import_chunks (id, import_id, workspace, ordinal, byte_offset, byte_length, first_line, checksums, status, due_at, finished_at)
         VALUES (overlay($1 placing lpad($2::int::text, 4, '0') from 33)::uuid, $1::uuid, 'loading', $2, 0, 1, 1, '', $3, CASE WHEN $4 THEN NULL ELSE now() + interval '9 seconds' END, CASE WHEN $4 THEN now() END)`,
        [id(1), n, status, finished],
      );
    await chunk(1, 'done', true);
    await chunk(2, 'running', false);
    const { counts, oldestAt } = await countImportQueue(store.database.main, 'loading');
    expect(counts).toMatchObject({ backlog: 5, running: 1, failed: 1, held: { pause: 3 } });
    expect(oldestAt).toBeInstanceOf(Date);
    expect(await readImportRate(store.database.main, 'loading', 5)).toEqual({ completed: 0.2, failed: 0 });
  });
});

describe('rates', () => {
  it('add up what workers report of the last minutes, and forget the rest', async () => {
    const minute = (minutesAgo: number) => new Date(Date.now() - minutesAgo * 60_000);
    const of = (minutesAgo: number, completed: number, workspace = 'rated') => ({
      queue: 'flow-phase' as const,
      workspace,
      minute: minute(minutesAgo),
      completed,
      failed: 1,
    });
    await addQueueMinutes(store.database.main, [of(1, 10), of(1, 5), of(2, 30), of(20, 1_000), of(1, 7, 'another')]);
    await addQueueMinutes(store.database.main, [of(1, 5)]);
    const rate = await readQueueRate(store.database.main, { queue: 'flow-phase', workspace: 'rated' });
    expect(rate.completed).toBeGreaterThanOrEqual(10);
    expect(rate.completed).toBeLessThanOrEqual(12.5);
    expect(rate.failed).toBeGreaterThanOrEqual(0.8);
    await addQueueMinutes(store.database.main, [of(90, 1)]);
    expect(await deleteOldMinutes(store.database.main)).toBe(1);
  });
});
