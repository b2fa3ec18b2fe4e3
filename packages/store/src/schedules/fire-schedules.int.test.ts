// Firing against PostgreSQL: once whatever the number of processes, what was missed, what overlaps, and what cannot be started.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createDatabase, type Database } from '../database.ts';
import { cancelFlow } from '../flows/cancel-flow.ts';
import { takeBacklog } from '../flows/backlog.ts';
import { fireDue } from './fire-due.ts';
import { forgetFires, readScheduleWork } from './schedule-work.ts';
import { flowsToReplace, startQueued } from './start-queued.ts';
import { createScheduleFixture, onePhase, OPTIONS, quietHour, type ScheduleFixture } from './test-support/schedule-fixture.ts';

let store: ScheduleFixture;
const others: Database[] = [];

beforeAll(async () => {
  store = await createScheduleFixture();
  for (let index = 0; index < 4; index += 1)
    others.push(createDatabase({ url: store.url, name: `other-${index}`, onError: () => undefined }));
});

afterAll(async () => {
  await Promise.all(others.map((database) => database.close()));
  await store.close();
});

/** What all processes at once make of what is due. */
const everybodyFires = () =>
  Promise.all(
    others.map(async (database) => {
      for (let more = true; more;) ({ more } = await fireDue(database, OPTIONS));
    }),
  );

describe('a time that has come', () => {
  it('starts a flow with the input, the tags and the author of the schedule, and leaves it in the backlog', async () => {
    const id = await store.schedule();
    await store.dueSince(id, '2 s');
    const [fire] = await store.fireAll();
    expect(fire).toMatchObject({ scheduleId: id, outcome: 'started', count: 1, reason: null });
    const [flowId = ''] = await store.flowsOf(id);
    expect(fire?.flowId).toBe(flowId);
    expect(await store.sql('SELECT workspace, name, input, tags, status, created_by FROM millrace.flows WHERE id = $1', [flowId])).toEqual([
      { workspace: 'default', name: 'shape', input: { n: 1 }, tags: { kind: 'nightly' }, status: 'queued', created_by: 'test' },
    ]);
    expect(await store.story(flowId)).toEqual(['flow.queued', 'phase.queued only']);
    expect((await takeBacklog(store.database.hot, [{ workspace: 'default', count: 100 }])).length).toBe(1);
    const row = await store.row(id);
    expect(row).toMatchObject({ last_flow_id: flowId, missed_count: 0 });
    expect(row.next_at?.getTime()).toBeGreaterThan(Date.now());
    expect(await store.fires(id)).toMatchObject([{ trigger: 'time', outcome: 'started', flow_id: flowId, fired_at: expect.any(Date) }]);
  });

  it('hands on how long the flow may wait and take', async () => {
    const id = await store.schedule();
    await store.dueSince(id, '2 s');
    await store.fireAll({ plan: () => ({ ...onePhase(), timeoutMs: 5_000, expiresInMs: 60_000 }) });
    const [row] = await store.sql<{ timeout_ms: number; left: string }>(
      'SELECT timeout_ms, extract(epoch FROM expires_at - created_at) AS left FROM millrace.flows WHERE schedule_id = $1',
      [id],
    );
    expect(row?.timeout_ms).toBe(5_000);
    expect(Number(row?.left)).toBeCloseTo(60, 1);
  });

  it('is fired once by many processes that look at the same moment', async () => {
    const ids = await Promise.all(Array.from({ length: 250 }, () => store.schedule()));
    for (let round = 0; round < 2; round += 1) {
      await store.sql("UPDATE millrace.schedules SET next_at = date_trunc('milliseconds', now()) WHERE id = ANY($1)", [ids]);
      await everybodyFires();
    }
    const counts = await store.sql<{ flows: number; fires: number }>(
      `SELECT (SELECT count(*)::int FROM millrace.flows WHERE schedule_id = s.id) AS flows,
              (SELECT count(*)::int FROM millrace.schedule_fires WHERE schedule_id = s.id AND outcome = 'started') AS fires
       FROM millrace.schedules s WHERE id = ANY($1)`,
      [ids],
    );
    expect(counts).toEqual(ids.map(() => ({ flows: 2, fires: 2 })));
  });

  it('is not fired again when the next time is set back', async () => {
    const id = await store.schedule();
    await store.dueSince(id, '2 s');
    await store.fireAll();
    const [fire] = await store.fires(id);
    await store.sql('UPDATE millrace.schedules SET next_at = $2 WHERE id = $1', [id, fire?.due_at]);
    await everybodyFires();
    expect(await store.flowsOf(id)).toHaveLength(1);
    expect((await store.row(id)).next_at?.getTime()).toBeGreaterThan(Date.now());
  });

  it('is left alone while it lies ahead, and told how far', async () => {
    const id = await store.schedule();
    await store.dueSince(id, '-20 s');
    expect(await store.fireAll()).toEqual([]);
    const { due, nextInMs } = await readScheduleWork(store.database.main);
    expect(due).toBe(false);
    expect(nextInMs).toBeGreaterThan(10_000);
    expect(nextInMs).toBeLessThanOrEqual(20_000);
    await store.sql('DELETE FROM millrace.schedules WHERE id = $1', [id]);
  });
});

describe('after nobody was there', () => {
  const days = async (catchUp: 'none' | 'last' | 'all') => {
    const id = await store.schedule({ catchUp });
    await store.sql(
      `UPDATE millrace.schedules SET next_at = date_trunc('day', now()) - interval '5 days' + interval '${quietHour()} hours' WHERE id = $1`,
      [id],
    );
    return id;
  };

  it.each([
    ['none', 0],
    ['last', 1],
    ['all', null],
  ] as const)('catches up %s', async (catchUp, started) => {
    const id = await days(catchUp);
    const reported = await store.fireAll();
    const outcomes = await store.outcomes(id);
    expect(outcomes.length).toBeGreaterThanOrEqual(5);
    expect(reported.map(({ outcome }) => outcome)).toEqual(outcomes);
    expect(outcomes.filter((outcome) => outcome === 'started')).toHaveLength(started ?? outcomes.length);
    if (started === 1) expect(outcomes.at(-1)).toBe('started');
    expect((await store.row(id)).missed_count).toBe(outcomes.filter((outcome) => outcome === 'missed').length);
    expect(await store.flowsOf(id)).toHaveLength(started ?? outcomes.length);
  });

  it.each([
    ['none', 0],
    ['last', 1],
    ['all', 100],
  ] as const)('bounds what it lists and starts of thousands of times, and counts them all (%s)', async (catchUp, started) => {
    const id = await store.schedule({ catchUp, cron: `* ${quietHour()} * * *` });
    await store.sql(
      `UPDATE millrace.schedules SET next_at = date_trunc('day', now()) - interval '80 days' + interval '${quietHour()} hours' WHERE id = $1`,
      [id],
    );
    await store.fireAll();
    const fires = await store.fires(id);
    const total = fires.reduce((sum, { count }) => sum + count, 0);
    expect(total % 60).toBe(0);
    expect(total).toBeGreaterThanOrEqual(80 * 60);
    expect(fires.length).toBeLessThanOrEqual(102);
    expect(fires[0]).toMatchObject({ outcome: 'missed' });
    expect(fires[0]?.count).toBeGreaterThan(4_000);
    expect(fires.filter(({ outcome }) => outcome === 'started')).toHaveLength(started);
    expect(await store.flowsOf(id)).toHaveLength(started);
    expect((await store.row(id)).missed_count).toBe(total - started);
  });
});

describe('overlap', () => {
  /** A schedule whose first flow has not ended, and for which another time has come. */
  const busy = async (overlap: 'skip' | 'queue' | 'cancel-previous' | 'allow') => {
    const id = await store.schedule({ overlap });
    await store.dueSince(id, '30 s');
    await store.fireAll();
    await store.dueSince(id, '20 s');
    const [first = ''] = await store.flowsOf(id);
    return { id, first };
  };

  it('skips a time while a flow is open, and fires the next after its end', async () => {
    const { id, first } = await busy('skip');
    await store.fireAll();
    expect((await store.fires(id))[1]).toMatchObject({ outcome: 'skipped', reason: `flow ${first} had not ended`, flow_id: null });
    await store.end(first);
    await store.dueSince(id, '10 s');
    await store.fireAll();
    expect(await store.outcomes(id)).toEqual(['started', 'skipped', 'started']);
  });

  it('starts side by side with `allow`', async () => {
    const { id } = await busy('allow');
    await store.fireAll();
    expect(await store.outcomes(id)).toEqual(['started', 'started']);
  });

  it('lets one wait with `queue`, skips more, and starts it when the flow before has ended', async () => {
    const { id, first } = await busy('queue');
    await store.fireAll();
    await store.dueSince(id, '10 s');
    await store.fireAll();
    expect(await store.outcomes(id)).toEqual(['started', 'queued', 'skipped']);
    expect(await store.startWaiting()).toEqual([]);
    await store.end(first);
    await Promise.all(others.map((database) => startQueued(database, OPTIONS)));
    const flows = await store.flowsOf(id);
    expect(flows).toHaveLength(2);
    expect(await store.outcomes(id)).toEqual(['started', 'started', 'skipped']);
    expect((await store.fires(id))[1]).toMatchObject({ flow_id: flows[1], fired_at: expect.any(Date), reason: null });
    expect((await store.row(id)).last_flow_id).toBe(flows[1]);
  });

  it('cancels the open flow first with `cancel-previous`, and never the one that takes its place', async () => {
    const { id, first } = await busy('cancel-previous');
    await store.fireAll();
    expect(await store.startWaiting()).toEqual([]);
    const replace = async (database: Database) => {
      for (const flow of await flowsToReplace(database.main, 10)) await cancelFlow(database, { ...flow, by: 'test' });
      await startQueued(database, OPTIONS);
    };
    await Promise.all(others.map(replace));
    await Promise.all(others.map(replace));
    const [, second = ''] = await store.flowsOf(id);
    expect(await store.outcomes(id)).toEqual(['started', 'started']);
    expect([(await store.flow(first)).status, (await store.flow(second)).status]).toEqual(['cancelled', 'queued']);
  });

  it('lets a newer time take the place of one that waits with `cancel-previous`', async () => {
    const { id } = await busy('cancel-previous');
    await store.fireAll();
    await store.dueSince(id, '10 s');
    await store.fireAll();
    expect(await store.outcomes(id)).toEqual(['started', 'skipped', 'queued']);
    expect((await store.fires(id))[1]?.reason).toBe('a later fire took its place');
    await store.sql('DELETE FROM millrace.schedules WHERE id = $1', [id]);
  });

  it('decides about several times that are caught up one after the other', async () => {
    const id = await store.schedule({ overlap: 'queue', catchUp: 'all' });
    await store.dueSince(id, '3 days');
    await store.fireAll();
    expect((await store.outcomes(id)).slice(0, 3)).toEqual(['started', 'queued', 'skipped']);
  });
});

describe('a flow that cannot be started', () => {
  it('is reported as failed, and the schedule goes on', async () => {
    const id = await store.schedule();
    await store.dueSince(id, '2 s');
    await store.fireAll({ plan: () => ({ kind: 'failed', reason: 'the input does not fit' }) });
    expect(await store.fires(id)).toMatchObject([{ outcome: 'failed', reason: 'the input does not fit', flow_id: null, fired_at: null }]);
    await store.dueSince(id, '1 s');
    await store.fireAll();
    expect(await store.outcomes(id)).toEqual(['failed', 'started']);
  });

  it('fails alone when the database refuses it, whether it comes due or has waited', async () => {
    const ids = await Promise.all(
      Array.from({ length: 4 }, (_, index) => store.schedule({ inputJson: `{"n":${index}}`, overlap: 'queue' })),
    );
    const poisoned = { plan: ({ input }: { input: unknown }) => onePhase((input as { n: number }).n === 2 ? 'nul \0' : 'only') };
    for (const id of ids) await store.dueSince(id, '9 s');
    await store.fireAll(poisoned);
    expect(await Promise.all(ids.map(store.outcomes))).toEqual([['started'], ['started'], ['failed'], ['started']]);
    expect((await store.fires(ids[2] ?? ''))[0]?.reason).toMatch(/^its flow could not be created: /);

    for (const id of ids) await store.dueSince(id, '8 s');
    await store.fireAll();
    for (const id of ids) await store.dueSince(id, '7 s');
    await store.fireAll();
    for (const id of ids) for (const flowId of await store.flowsOf(id)) await store.end(flowId);
    await store.startWaiting(poisoned);
    expect((await Promise.all(ids.map(store.outcomes))).map((list) => list.join(' '))).toEqual([
      'started started skipped',
      'started started skipped',
      'failed started failed',
      'started started skipped',
    ]);
  });

  it('is left for 30 s to processes that know the definition', async () => {
    const id = await store.schedule({ flow: 'elsewhere' });
    const options = { plan: () => ({ kind: 'failed', reason: 'unknown' }) as const };
    await store.dueSince(id, '20 s');
    expect(await store.fireAll(options)).toEqual([]);
    await store.dueSince(id, '40 s');
    expect(await store.fireAll(options)).toMatchObject([{ outcome: 'failed', reason: 'unknown' }]);
  });
});

describe('forgetFires', () => {
  it('forgets old fires, the oldest first, and none that waits', async () => {
    const id = await store.schedule({ overlap: 'queue', catchUp: 'all' });
    await store.dueSince(id, '5 days');
    await store.fireAll();
    const before = await store.outcomes(id);
    await store.sql("UPDATE millrace.schedule_fires SET recorded_at = now() - interval '91 days' WHERE schedule_id = $1", [id]);
    expect(await forgetFires(store.database.main, { days: 90, limit: 2 })).toBe(2);
    expect(await forgetFires(store.database.main, { days: 90, limit: 100 })).toBe(before.length - 3);
    expect(await store.outcomes(id)).toEqual(['queued']);
  });
});
