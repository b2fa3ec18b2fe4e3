// Months come and go: partitions are made ahead, rows that had none move, and a month that nobody keeps is dropped whole.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { createStoreFixture, type StoreFixture } from '../test-support/store-fixture.ts';
import { dropMonth } from './drop-months.ts';
import { makePartitions } from './make-partitions.ts';
import type { Retention } from './retention-rules.ts';

const DAY_MS = 24 * 60 * 60_000;
let store: StoreFixture;
beforeEach(async () => {
  store = await createStoreFixture();
});
afterEach(() => store.close());

function idAt(at: Date): string {
  const hex = `${at.getTime().toString(16).padStart(12, '0')}7abc8${randomBytes(6).toString('hex').slice(0, 11)}0000`;
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
const phaseOf = (flowId: string) => `${flowId.slice(0, -4)}0001`;

async function addFlow(flow: { at: Date; status?: string; name?: string; endedAt?: Date; parent?: string }): Promise<string> {
  const id = idAt(flow.at);
  const { status = 'completed', name = 'f', endedAt = flow.at } = flow;
  const ended = ['completed', 'failed', 'cancelled'].includes(status);
  await store.sql(
    `INSERT INTO millrace.flows (id, workspace, name, version, status, input, tags, priority, seq_last, phases_total, phases_open, phases_active, created_by, finished_at, parent_phase_id, parent_run, child_key)
     VALUES ($1, 'default', $2, 1, $3, '{}', '{}', 50, 1, 1, 0, 0, 'x', $4, $5, 1, 'k')`,
    [id, name, status, ended ? endedAt : null, flow.parent === undefined ? null : phaseOf(flow.parent)],
  );
  await store.sql(
    `INSERT INTO millrace.phases (id, flow_id, workspace, name, status, priority, needs, dependants, needs_open, attempt_max) VALUES ($1, $2, 'default', 'p', $3, 50, '{}', '{}', 0, 4)`,
    [phaseOf(id), id, ended ? 'completed' : 'queued'],
  );
  await store.sql(
    "INSERT INTO millrace.events (subject_id, seq, workspace, type, at, data) VALUES ($1, 1, 'default', 'flow.queued', $2, '{}')",
    [id, flow.at],
  );
  return id;
}

/** The n-th day of the month so many months before this one. */
function past(months: number, day = 10): Date {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - months, day));
}
const suffixOf = (at: Date) => `_${at.toISOString().slice(0, 7).replace('-', '_')}`;

/** Makes the months since then partitions of their own: what there is from the beginning on ends before them. */
async function splitSince(at: Date): Promise<void> {
  const tables = await store.sql<{ parent: string; name: string }>('SELECT parent, name FROM millrace.partitions WHERE lowest IS NULL');
  for (const { parent, name } of tables) await store.sql(`ALTER TABLE millrace.${parent} DETACH PARTITION millrace.${name}`);
  for (const { name } of tables) await store.sql(`DROP TABLE millrace.${name}`);
  for (let month = at; month < new Date(); month = new Date(Date.UTC(month.getUTCFullYear(), month.getUTCMonth() + 1, 10)))
    await store.sql('SELECT millrace.make_partition(name, $1::timestamptz::date) FROM millrace.partitioned', [month]);
}

const keepDays = (days: number | null, rules: Retention['rules'] = []): Retention => ({
  defaultAgeMs: days === null ? null : days * DAY_MS,
  rules,
});
const months = async () =>
  (await store.sql<{ name: string }>("SELECT name FROM millrace.partitions WHERE parent = 'flows' ORDER BY bound")).map((row) => row.name);
const flowIds = async () => (await store.sql<{ id: string }>('SELECT id FROM millrace.flows ORDER BY id')).map((row) => row.id);

describe('months to come', () => {
  it('are made once, two ahead of any present month, in every table', async () => {
    expect(await makePartitions(store.database, new Date())).toEqual([]);
    const later = past(-3);
    const made = await makePartitions(store.database, later);
    const tables = await store.sql('SELECT FROM millrace.partitioned');
    expect(made).toHaveLength(3 * tables.length);
    expect(new Set(made.map((one) => one.outcome))).toEqual(new Set(['made']));
    expect(await makePartitions(store.database, later)).toEqual([]);
    const flow = await addFlow({ at: later });
    expect(await store.sql(`SELECT id FROM millrace.flows${suffixOf(later)}`)).toEqual([{ id: flow }]);
  });

  it('are made by one of several processes at once', async () => {
    const made = await Promise.all([makePartitions(store.database, past(-3)), makePartitions(store.database, past(-3))]);
    const all = made.flat().map(({ parent, month }) => `${parent} ${month}`);
    expect(new Set(all).size).toBe(all.length);
  });

  it('take over rows that came before their partition', async () => {
    const later = past(-6);
    const flow = await addFlow({ at: later });
    expect(await store.sql('SELECT id FROM millrace.flows_default')).toEqual([{ id: flow }]);
    await makePartitions(store.database, later);
    expect(await store.sql('SELECT id FROM millrace.flows_default')).toEqual([]);
    expect(await store.sql(`SELECT id FROM millrace.phases${suffixOf(later)}`)).toEqual([{ id: phaseOf(flow) }]);
    expect(await store.events(flow)).toHaveLength(1);
  });

  it('leave too many rows where they are rather than make everybody wait', async () => {
    const later = past(-6);
    await addFlow({ at: later });
    await addFlow({ at: later });
    expect(await store.sql('SELECT millrace.make_partition($1, $2::timestamptz::date, 1) AS outcome', ['flows', later])).toEqual([
      { outcome: 'too-many' },
    ]);
    expect(await store.sql('SELECT id FROM millrace.flows_default')).toHaveLength(2);
  });
});

describe('a month that is over', () => {
  it('is dropped with everything in it when all its flows are beyond their time', async () => {
    await splitSince(past(5));
    const gone = await addFlow({ at: past(5) });
    const kept = await addFlow({ at: past(4), endedAt: new Date() });
    const dropped = await dropMonth(store.database, keepDays(90));
    expect(dropped).toEqual({ month: past(5).toISOString().slice(0, 7), kept: 0 });
    expect(await flowIds()).toEqual([kept]);
    expect(await store.sql('SELECT FROM millrace.events WHERE subject_id = $1', [gone])).toHaveLength(0);
    expect(await months()).not.toContain(`flows${suffixOf(past(5))}`);
    expect(await store.sql('SELECT FROM pg_class WHERE relname ~ $1', [`${suffixOf(past(5))}$`])).toHaveLength(1);
  });

  it.each([
    ['has not ended', { status: 'waiting' }, []],
    ['ended lately', { endedAt: new Date() }, []],
    [
      'is kept longer by its definition',
      { name: 'long' },
      [{ name: 'long', version: 1, ageMs: 400 * DAY_MS, count: null, archive: false }],
    ],
    ['is to be archived first', { name: 'dear' }, [{ name: 'dear', version: 1, ageMs: null, count: null, archive: true }]],
  ] as const)('stays while a flow in it %s', async (_why, flow, rules) => {
    await splitSince(past(5));
    const at = past(5);
    await addFlow({ at });
    await addFlow({ at, ...flow });
    for (let passes = 0; passes < 6; passes += 1) await dropMonth(store.database, keepDays(90, rules));
    expect(await months()).toContain(`flows${suffixOf(at)}`);
    expect(await flowIds()).toHaveLength(2);
  });

  it('stays while the parent of a child in it does, and goes with both', async () => {
    await splitSince(past(5));
    const parent = await addFlow({ at: past(5), status: 'running' });
    const child = await addFlow({ at: past(4), parent });
    for (let passes = 0; passes < 6; passes += 1) await dropMonth(store.database, keepDays(30));
    expect(await flowIds()).toEqual([parent, child]);
    await store.sql("UPDATE millrace.flows SET status = 'completed', finished_at = $2 WHERE id = $1", [parent, past(4)]);
    for (let passes = 0; passes < 6; passes += 1) await dropMonth(store.database, keepDays(30));
    expect(await flowIds()).toEqual([]);
  });

  it('is kept for ever when nothing says how long', async () => {
    await splitSince(past(5));
    await addFlow({ at: past(5) });
    for (let passes = 0; passes < 6; passes += 1) await dropMonth(store.database, keepDays(null));
    expect(await flowIds()).toHaveLength(1);
  });

  it('leaves the events of imports behind', async () => {
    await splitSince(past(5));
    const id = idAt(past(5));
    await store.sql(
      "INSERT INTO millrace.imports (id, workspace, dataset, dataset_id, mode, format, status, options, created_by) VALUES ($1, 'default', 'd', $1, 'insert', 'csv', 'completed', '{}', 'x')",
      [id],
    );
    await store.sql(
      "INSERT INTO millrace.events (subject_id, seq, workspace, type, at, data) VALUES ($1, 1, 'default', 'import.queued', now(), '{}')",
      [id],
    );
    expect(await dropMonth(store.database, keepDays(90))).toBeDefined();
    expect(await store.sql('SELECT seq FROM millrace.events WHERE subject_id = $1', [id])).toEqual([{ seq: 1 }]);
  });
});

describe('a process that died while it dropped a month', () => {
  it('is followed by one that brings back what changed and drops the rest', async () => {
    await splitSince(past(5));
    await addFlow({ at: past(5) });
    const retried = await addFlow({ at: past(5), status: 'running' });
    for (const table of ['flows', 'phases', 'event_log', 'attempts', 'steps', 'signals', 'cancellations', 'children'])
      await store.sql(`ALTER TABLE millrace.${table} DETACH PARTITION millrace.${table}${suffixOf(past(5))}`);
    expect(await flowIds()).toEqual([]);
    expect(await dropMonth(store.database, keepDays(90))).toEqual({ month: past(5).toISOString().slice(0, 7), kept: 1 });
    expect(await flowIds()).toEqual([retried]);
    expect((await store.phase(phaseOf(retried))).status).toBe('queued');
    expect(await store.events(retried)).toHaveLength(1);
  });

  it('gives up soon when somebody holds a lock, and leaves the month whole', async () => {
    await splitSince(past(5));
    await addFlow({ at: past(5) });
    const holder = await store.database.main.connect();
    try {
      await holder.query('BEGIN');
      await holder.query('SELECT FROM millrace.flows LIMIT 1');
      await expect(dropMonth(store.database, keepDays(90))).rejects.toMatchObject({ code: 'dependency-unavailable' });
      expect(await months()).toContain(`flows${suffixOf(past(5))}`);
    } finally {
      await holder.query('ROLLBACK');
      holder.release();
    }
    expect(await dropMonth(store.database, keepDays(90))).toBeDefined();
  });
});
