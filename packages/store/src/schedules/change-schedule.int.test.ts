// Making, pausing, resuming, running and deleting schedules against PostgreSQL.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '@millrace/shared';
import { idempotencyKey, newFlow } from '../test-support/store-fixture.ts';
import { deleteSchedule, pauseSchedule, resumeSchedule } from './change-schedule.ts';
import { createSchedule } from './create-schedule.ts';
import { readSchedule } from './read-schedules.ts';
import { runSchedule } from './run-schedule.ts';
import { createScheduleFixture, newSchedule, quietHour, type ScheduleFixture } from './test-support/schedule-fixture.ts';

let store: ScheduleFixture;

beforeAll(async () => {
  store = await createScheduleFixture();
});

afterAll(async () => {
  await store.close();
});

const target = (scheduleId: string, workspace = 'default') => ({ scheduleId, workspace });
const pause = (id: string, changes: { until?: string; reason?: string } = {}) =>
  pauseSchedule(store.database, target(id), { by: 'someone', reason: changes.reason ?? null, until: changes.until ?? null });
const ahead = (ms: number) => new Date(Date.now() + ms).toISOString();
const read = async (id: string) => {
  const found = await readSchedule(store.database.main, target(id));
  if (found === undefined) throw new Error(`there is no schedule ${id}`);
  return found;
};

describe('createSchedule', () => {
  it('makes one of many that want the same name at once', async () => {
    const made = await Promise.allSettled(Array.from({ length: 6 }, () => createSchedule(store.database, newSchedule('wanted'))));
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const one of made) if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'already-exists' });
    expect(await createSchedule(store.database, { ...newSchedule('wanted'), workspace: 'other' })).toMatchObject({ kind: 'created' });
  });

  it('answers the same to every request with the same key', async () => {
    const request = { ...newSchedule('keyed'), idempotency: { ...idempotencyKey('k'), route: 'POST /v1/schedules' } };
    const made = await Promise.all(Array.from({ length: 6 }, () => createSchedule(store.database, request)));
    expect(made.map(({ kind }) => kind).toSorted()).toEqual(['created', ...Array.from({ length: 5 }, () => 'replayed')]);
    expect(new Set(made.map((one) => JSON.stringify('body' in one ? one.body : one))).size).toBe(1);
  });

  it('has its first time ahead', async () => {
    const { next_at: nextAt } = await read(await store.schedule({ cron: '* * * * *' }));
    expect((nextAt?.getTime() ?? 0) - Date.now()).toBeGreaterThan(-1_000);
    expect((nextAt?.getTime() ?? 0) - Date.now()).toBeLessThanOrEqual(60_000);
  });
});

describe('pauseSchedule', () => {
  it('starts nothing from then on and has no next time, until somebody resumes it', async () => {
    const id = await store.schedule();
    await store.dueSince(id, '5 s');
    expect(await pause(id, { reason: 'the bank is closed' })).toEqual({ kind: 'done' });
    expect(await store.fireAll()).toEqual([]);
    const paused = await read(id);
    expect(paused).toMatchObject({ next_at: null, missed_count: 0, pause: { by: 'someone', reason: 'the bank is closed', until: null } });
    expect(await resumeSchedule(store.database, target(id))).toEqual({ kind: 'done' });
    const resumed = await read(id);
    expect(resumed.pause).toBeNull();
    expect(resumed.next_at?.getTime()).toBeGreaterThan(Date.now());
    expect(await resumeSchedule(store.database, target(id))).toEqual({ kind: 'refused', status: 'active' });
  });

  it('ends by itself: the first time at or after its end is fired', async () => {
    const id = await store.schedule();
    const until = new Date();
    until.setUTCDate(until.getUTCDate() + 3);
    until.setUTCHours(quietHour(), 0, 0, 0);
    await pause(id, { until: until.toISOString() });
    expect(await read(id)).toMatchObject({ next_at: until, pause: { until: until.toISOString() } });
    await store.sql('UPDATE millrace.schedules SET pause = pause || $2 WHERE id = $1', [id, { until: ahead(-2_000) }]);
    await store.dueSince(id, '1 s');
    expect((await read(id)).pause).toBeNull();
    expect(await store.fireAll()).toMatchObject([{ outcome: 'started' }]);
    expect(await resumeSchedule(store.database, target(id))).toEqual({ kind: 'refused', status: 'active' });
  });

  it('replaces reason and end of an earlier pause', async () => {
    const id = await store.schedule();
    await pause(id, { until: ahead(3_600_000), reason: 'first' });
    await pause(id, { reason: 'second' });
    expect(await read(id)).toMatchObject({ next_at: null, pause: { reason: 'second', until: null } });
  });

  it('skips a fire that waits', async () => {
    const id = await store.schedule({ overlap: 'queue' });
    for (const ago of ['20 s', '10 s']) {
      await store.dueSince(id, ago);
      await store.fireAll();
    }
    await pause(id);
    for (const flowId of await store.flowsOf(id)) await store.end(flowId);
    expect(await store.startWaiting()).toEqual([]);
    expect((await store.fires(id))[1]).toMatchObject({ outcome: 'skipped', reason: 'the schedule was paused' });
  });

  it('records what had been missed before, and misses nothing after', async () => {
    const id = await store.schedule();
    await store.dueSince(id, '2 days');
    await pause(id);
    const { missed_count: missed } = await read(id);
    expect(missed).toBeGreaterThanOrEqual(2);
    expect(await store.outcomes(id)).toEqual(Array.from({ length: missed }, () => 'missed'));
    await pause(id);
    await resumeSchedule(store.database, target(id));
    expect((await read(id)).missed_count).toBe(missed);
  });
});

describe('runSchedule', () => {
  const run = (id: string, changes: Parameters<typeof newFlow>[1] = {}) =>
    runSchedule(store.database, target(id), newFlow([[]], { dispatch: false, ...changes }));

  it('starts a flow of a paused schedule, which counts for the overlap, and changes none of its times', async () => {
    const id = await store.schedule({ overlap: 'skip' });
    const { next_at: nextAt } = await read(id);
    expect(await run(id)).toMatchObject({ kind: 'created', status: 202 });
    expect((await read(id)).next_at).toEqual(nextAt);
    const [flowId] = await store.flowsOf(id);
    expect(await store.fires(id)).toMatchObject([{ trigger: 'manual', outcome: 'started', flow_id: flowId }]);
    await store.dueSince(id, '-1 s');
    await store.sql("UPDATE millrace.schedules SET next_at = date_trunc('milliseconds', now()) WHERE id = $1", [id]);
    expect(await store.fireAll()).toMatchObject([{ outcome: 'skipped' }]);
    await pause(id);
    expect(await run(id)).toMatchObject({ kind: 'created' });
    expect((await read(id)).last_status).toBe('queued');
  });

  it('starts one flow for one key', async () => {
    const id = await store.schedule();
    const idempotency = { ...idempotencyKey('run'), route: `run ${id}` };
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => run(id, { idempotency })));
    expect(outcomes.map(({ kind }) => kind).toSorted()).toEqual(['created', 'replayed', 'replayed', 'replayed', 'replayed']);
    expect(await store.flowsOf(id)).toHaveLength(1);
    expect(await store.fires(id)).toHaveLength(1);
    expect(await run(id, { idempotency: { ...idempotency, bodyHash: idempotencyKey('x', 'other').bodyHash } })).toEqual({
      kind: 'key-reused',
    });
  });
});

describe('a schedule of another workspace', () => {
  it('can be neither paused, resumed, run nor deleted, like one that does not exist', async () => {
    const id = await store.schedule();
    for (const foreign of [target(id, 'other'), target(newId())]) {
      expect(await pauseSchedule(store.database, foreign, { by: 'x', reason: null, until: null })).toEqual({ kind: 'not-found' });
      expect(await resumeSchedule(store.database, foreign)).toEqual({ kind: 'not-found' });
      expect(await runSchedule(store.database, foreign, newFlow([[]]))).toEqual({ kind: 'not-found' });
      expect(await deleteSchedule(store.database.main, foreign)).toBe(false);
      expect(await readSchedule(store.database.main, foreign)).toBeUndefined();
    }
    expect(await store.flowsOf(id)).toEqual([]);
  });
});

describe('deleteSchedule', () => {
  it('removes the schedule and its fires once, and leaves its flows', async () => {
    const id = await store.schedule();
    await store.dueSince(id, '2 s');
    await store.fireAll();
    expect([await deleteSchedule(store.database.main, target(id)), await deleteSchedule(store.database.main, target(id))]).toEqual([
      true,
      false,
    ]);
    expect(await store.fires(id)).toEqual([]);
    const [flowId = ''] = await store.flowsOf(id);
    expect((await store.flow(flowId)).status).toBe('queued');
  });
});
