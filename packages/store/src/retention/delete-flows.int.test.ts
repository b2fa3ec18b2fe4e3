// Ended flows go by age and by number, with everything that belongs to them and nothing else; archived ones stay readable.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { NewFlow } from '../flows/create-flows.ts';
import { retryFlow } from '../flows/retry-flow.ts';
import { createStoreFixture, WORKER, type MadeFlow, type StoreFixture } from '../test-support/store-fixture.ts';
import { listArchived, readArchived } from './archive-flows.ts';
import { deleteExpired, expiryOf, retentionLanes } from './delete-flows.ts';
import { announceRetention, readRetention, type Retention, type RetentionRule } from './retention-rules.ts';

const DAY_MS = 24 * 60 * 60_000;
const TABLES = ['flows', 'phases', 'attempts', 'steps', 'signals', 'cancellations', 'events', 'children'];
let store: StoreFixture;
beforeEach(async () => {
  store = await createStoreFixture();
});
afterEach(() => store.close());

/** A flow of one phase that has ended, as if so many days ago. */
async function ended(days: number, changes: Partial<NewFlow> & { status?: string } = {}): Promise<MadeFlow> {
  const { status = 'completed', ...rest } = changes;
  const flow = await store.make([[]], rest);
  const [phase] = await store.claim([flow.phaseId(0)]);
  if (phase === undefined) throw new Error('not claimed');
  await store.sql("INSERT INTO millrace.steps (phase_id, run, name, workspace, result) VALUES ($1, 1, 's', 'default', '1')", [phase.id]);
  await store.complete([phase], { value: days }, WORKER);
  await store.sql(`/* forged */ UPDATE millrace.flows SET status = $3, finished_at = now() - $2::int * interval '1 day' WHERE id = $1`, [
    flow.flowId,
    days,
    status,
  ]);
  return flow;
}

const rule = (changes: Partial<RetentionRule>): Retention => ({
  defaultAgeMs: 90 * DAY_MS,
  rules: [{ name: 'bulk', version: 1, ageMs: null, count: null, archive: false, ...changes }],
});

/** As it will be then: the ids of flows that were just made are as old as now. */
const inDays = (days: number) => new Date(Date.now() + days * DAY_MS);

async function deleteAll(retention: Retention, now = inDays(1)): Promise<number> {
  let deleted = 0;
  for (const lane of await retentionLanes(store.database.main, { after: null, limit: 10 })) {
    const expiry = await expiryOf(store.database.main, { lane, retention, now });
    let after: string | null = null;
    while (expiry !== undefined) {
      const batch = await deleteExpired(store.database, expiry, after);
      deleted += batch.deleted;
      after = batch.last;
      if (after === null) break;
    }
  }
  return deleted;
}

const flowIds = async () => (await store.sql<{ id: string }>('SELECT id FROM millrace.flows ORDER BY id')).map((row) => row.id);
async function rowsLeft(): Promise<Record<string, number>> {
  const left: Record<string, number> = {};
  for (const table of TABLES) {
    const rows = await store.sql<{ count: number }>(`SELECT count(*)::int AS count FROM millrace.${table}`);
    if (rows[0]?.count !== 0) left[table] = rows[0]?.count ?? -1;
  }
  return left;
}
const named = (name: string) => ({ name });

describe('by age', () => {
  it('deletes what ended long enough ago, with all its rows', async () => {
    await ended(3, named('bulk'));
    expect(await rowsLeft()).toEqual({ flows: 1, phases: 1, steps: 1, events: 6 });
    expect(await deleteAll(rule({ ageMs: 2 * DAY_MS }), inDays(3))).toBe(1);
    expect(await rowsLeft()).toEqual({});
  });

  it('keeps what is younger, what has not ended, and other definitions', async () => {
    const young = await ended(-2, named('bulk'));
    const open = await store.make([[]], named('bulk'));
    const other = await ended(80, named('other'));
    await ended(80, named('bulk'));
    expect(await deleteAll(rule({ ageMs: 2 * DAY_MS }), inDays(3))).toBe(1);
    expect(await flowIds()).toEqual([young.flowId, open.flowId, other.flowId].toSorted());
  });

  it('leaves flows that are kept for months to whoever drops their month, until that is overdue', async () => {
    await ended(0, named('bulk'));
    const age = { ageMs: 90 * DAY_MS };
    const now = new Date();
    const monthEnds = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1);
    expect(await deleteAll(rule(age), new Date(monthEnds + 91 * DAY_MS))).toBe(0);
    expect(await deleteAll(rule(age), new Date(monthEnds + 94 * DAY_MS))).toBe(1);
  });

  it('keeps everything when nothing says how long', async () => {
    await ended(80, named('bulk'));
    expect(await deleteAll({ defaultAgeMs: null, rules: [] }, inDays(400))).toBe(0);
  });

  it('goes on after a batch where the one before stopped', async () => {
    for (let made = 0; made < 3; made += 1) await ended(5, named('bulk'));
    await store.sql('UPDATE millrace.flows SET phases_total = 15000');
    const expiry = await expiryOf(store.database.main, {
      lane: { workspace: 'default', name: 'bulk' },
      retention: rule({ ageMs: DAY_MS }),
      now: inDays(2),
    });
    if (expiry === undefined) throw new Error('nothing expires');
    const first = await deleteExpired(store.database, expiry, null);
    expect(first).toMatchObject({ deleted: 1, last: expect.any(String) });
    expect(await flowIds()).toHaveLength(2);
    expect(await deleteAll(rule({ ageMs: DAY_MS }), inDays(2))).toBe(2);
  });
});

describe('by number', () => {
  it('keeps the newest of each workspace', async () => {
    const flows = [];
    for (let made = 0; made < 4; made += 1) flows.push(await ended(0, named('bulk')));
    const elsewhere = await ended(0, { ...named('bulk'), workspace: 'elsewhere' });
    const open = await store.make([[]], named('bulk'));
    expect(await deleteAll(rule({ count: 2 }))).toBe(2);
    expect(await flowIds()).toEqual([...flows.slice(2).map((flow) => flow.flowId), elsewhere.flowId, open.flowId].toSorted());
  });

  it('keeps none when none are to be kept', async () => {
    await ended(0, named('bulk'));
    expect(await deleteAll(rule({ count: 0 }))).toBe(1);
  });
});

describe('what must not go yet', () => {
  it('is a child whose parent is there; it goes after it', async () => {
    const parent = await ended(0, named('parent'));
    const link = { phaseId: parent.phaseId(0), run: 1, key: 'k', policy: 'fail', awaited: true, depth: 1 } as const;
    const child = await ended(50, { ...named('bulk'), extras: { parent: link } });
    expect(await deleteAll(rule({ ageMs: 0 }))).toBe(0);
    expect(await flowIds()).toContain(child.flowId);
    await store.sql('DELETE FROM millrace.flows WHERE id = $1', [parent.flowId]);
    expect(await deleteAll(rule({ ageMs: 0 }))).toBe(1);
  });

  it('is a flow that was retried while it was to be deleted', async () => {
    const flow = await ended(5, { ...named('bulk'), status: 'failed' });
    const holder = await store.database.main.connect();
    try {
      await holder.query('BEGIN');
      await holder.query('SELECT FROM millrace.flows WHERE id = $1 FOR UPDATE', [flow.flowId]);
      expect(await deleteAll(rule({ ageMs: DAY_MS }), inDays(2))).toBe(0);
    } finally {
      await holder.query('ROLLBACK');
      holder.release();
    }
    await store.sql("/* forged */ UPDATE millrace.phases SET status = 'failed' WHERE flow_id = $1", [flow.flowId]);
    expect((await retryFlow(store.database, { flowId: flow.flowId, workspace: 'default' })).kind).toBe('done');
    expect(await deleteAll(rule({ ageMs: DAY_MS }), inDays(2))).toBe(0);
  });
});

describe('archived flows', () => {
  it('stay as one document with phases, outputs and events', async () => {
    const flow = await ended(3, { ...named('bulk'), tags: { customer: '7' } });
    expect(await deleteAll(rule({ ageMs: DAY_MS, archive: true }), inDays(2))).toBe(1);
    expect(await rowsLeft()).toEqual({});
    const archived = await readArchived(store.database.main, { flowId: flow.flowId, workspace: 'default' });
    expect(archived).toMatchObject({ id: flow.flowId, name: 'bulk', status: 'completed', tags: { customer: '7' } });
    expect(archived?.document.phases).toMatchObject([{ name: 'p0', output: { value: 3 }, finished_at: expect.any(Date) }]);
    expect(archived?.document.events.map((event) => event.type)).toEqual([
      'flow.queued',
      'phase.queued',
      'flow.started',
      'phase.started',
      'phase.completed',
      'flow.completed',
    ]);
    expect(archived?.document.flow).not.toHaveProperty('created_by');
  });

  it('are not to be seen by other workspaces', async () => {
    const flow = await ended(3, named('bulk'));
    await deleteAll(rule({ ageMs: DAY_MS, archive: true }), inDays(2));
    expect(await readArchived(store.database.main, { flowId: flow.flowId, workspace: 'elsewhere' })).toBeUndefined();
    expect(await listArchived(store.database.main, { workspace: 'elsewhere', limit: 10 })).toEqual([]);
    expect((await listArchived(store.database.main, { workspace: 'default', flow: 'bulk', limit: 10 })).map((one) => one.id)).toEqual([
      flow.flowId,
    ]);
    expect(await listArchived(store.database.main, { workspace: 'default', before: flow.flowId, limit: 10 })).toEqual([]);
  });

  it('stay in place when archiving fails, and go with the next pass', async () => {
    const flow = await ended(3, named('bulk'));
    await store.sql('ALTER TABLE millrace.flow_archive ADD CONSTRAINT no_room CHECK (false) NOT VALID');
    await expect(deleteAll(rule({ ageMs: DAY_MS, archive: true }), inDays(2))).rejects.toMatchObject({ code: '23514' });
    expect(await flowIds()).toEqual([flow.flowId]);
    expect(await store.events(flow.flowId)).toHaveLength(6);
    await store.sql('ALTER TABLE millrace.flow_archive DROP CONSTRAINT no_room');
    expect(await deleteAll(rule({ ageMs: DAY_MS, archive: true }), inDays(2))).toBe(1);
  });
});

describe('rules', () => {
  it('are those of the newest version that any worker has', async () => {
    const of = (version: number, ageMs: number | null): RetentionRule => ({ name: 'a', version, ageMs, count: null, archive: false });
    await announceRetention(store.database.main, [of(2, 5_000)]);
    await announceRetention(store.database.main, [of(1, 1)]);
    expect((await readRetention(store.database.main, 7)).rules).toEqual([of(2, 5_000)]);
    await announceRetention(store.database.main, [of(3, null)]);
    expect(await readRetention(store.database.main, 7)).toEqual({ rules: [of(3, null)], defaultAgeMs: 7 });
  });
});
