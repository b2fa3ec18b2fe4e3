// The tables become partitioned with everything that is in them: on a database that stood at version 8 and was in use.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { createDatabase, type Database } from '../database.ts';
import { migrate, readMigrations } from '../migrate.ts';

const BEFORE = 10;
let server: Database;
let old: Database;
let url: string;
let name: string;

beforeEach(async () => {
  const serverUrl = process.env['DATABASE_URL'] ?? '';
  name = `test_${process.pid}_${randomBytes(4).toString('hex')}`;
  server = createDatabase({ url: serverUrl, name: 'test-server', onError: () => undefined });
  await server.main.query(`CREATE DATABASE ${name}`);
  const renamed = new URL(serverUrl);
  renamed.pathname = `/${name}`;
  url = renamed.href;
  old = createDatabase({ url, name: 'test', onError: () => undefined });
  await migrateToEight(old);
});
afterEach(async () => {
  await old.close();
  await server.main.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  await server.close();
});

async function migrateToEight({ main }: Database): Promise<void> {
  await main.query('CREATE SCHEMA millrace');
  await main.query(
    'CREATE TABLE millrace.migrations (version int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())',
  );
  for (const { version, name: file, checksum, sql } of (await readMigrations()).slice(0, BEFORE)) {
    await main.query(sql);
    await main.query('INSERT INTO millrace.migrations (version, name, checksum) VALUES ($1, $2, $3)', [version, file, checksum]);
  }
}

/** A flow of that time with a row in every table, and a second that it started as a child. */
async function fill({ main }: Database, at: string): Promise<string> {
  const result = await main.query<{ id: string }>(
    `SELECT (lpad(to_hex((extract(epoch FROM $1::timestamptz) * 1000)::bigint), 12, '0') || '7abc8' || substr(md5(random()::text), 1, 11) || '0000')::uuid AS id`,
    [at],
  );
  const id = result.rows[0]?.id ?? '';
  const phase = id.replace(/0000$/, '0001');
  const flows = `INSERT INTO millrace.flows (id, workspace, name, version, status, input, tags, priority, seq_last, phases_total, phases_open, phases_active, created_by, parent_phase_id, parent_run, child_key)
    VALUES ($1, 'default', 'f', 1, 'running', '{}', '{}', 50, 1, 1, 1, 1, 'x', $2, $3, $4)`;
  await main.query(flows, [id, null, null, null]);
  await main.query(flows, [id.replace(/0000$/, '8000'), phase, 1, 'child']);
  await main.query(
    "INSERT INTO millrace.phases (id, flow_id, workspace, name, status, priority, needs, dependants, needs_open, attempt_max) VALUES ($1, $2, 'default', 'p', 'running', 50, '{}', '{}', 0, 4)",
    [phase, id],
  );
  await main.query(
    "INSERT INTO millrace.attempts (phase_id, fence, workspace, attempt, run, worker, outcome, started_at) VALUES ($1, 1, 'default', 1, 1, 'w', 'failed', now())",
    [phase],
  );
  await main.query("INSERT INTO millrace.steps (phase_id, run, name, workspace, result) VALUES ($1, 1, 's', 'default', '1')", [phase]);
  await main.query("INSERT INTO millrace.signals (flow_id, run, name, workspace, body, sent_by) VALUES ($1, 1, 's', 'default', '1', 'x')", [
    id,
  ]);
  await main.query(
    "INSERT INTO millrace.cancellations (flow_id, run, phase_id, workspace, phase, fence, worker, requested_by) VALUES ($1, 1, $2, 'default', 'p', 1, 'w', 'x')",
    [id, phase],
  );
  await main.query(
    "INSERT INTO millrace.events (subject_id, seq, workspace, type, at, data) VALUES ($1, 1, 'default', 'flow.queued', now(), '{}')",
    [id],
  );
  return id;
}

const TABLES = { flows: 2, phases: 1, attempts: 1, steps: 1, signals: 1, cancellations: 1, event_log: 1, children: 1 };

async function countsIn({ main }: Database, suffix: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const table of Object.keys(TABLES)) {
    const result = await main.query<{ count: number }>(`SELECT count(*)::int AS count FROM millrace."${table}${suffix}"`);
    counts[table] = result.rows[0]?.count ?? -1;
  }
  return counts;
}

describe('a database that is in use', () => {
  it('keeps every row, the old ones in the first partition and those of clocks ahead in the default one', async () => {
    await fill(old, '2020-02-29T12:00:00Z');
    await fill(old, '2099-01-01T00:00:00Z');
    const applied = await migrate(url);
    expect(applied).toHaveLength((await readMigrations()).length - BEFORE);
    const first = await old.main.query<{ suffix: string }>(
      "SELECT substr(name, length('flows') + 1) AS suffix FROM millrace.partitions WHERE parent = 'flows' AND lowest IS NULL",
    );
    expect(first.rows[0]?.suffix).toMatch(/^_until_\d{4}_\d{2}$/);
    expect(await countsIn(old, first.rows[0]?.suffix ?? '')).toEqual(TABLES);
    expect(await countsIn(old, '_default')).toEqual(TABLES);
    expect(await countsIn(old, '')).toEqual(Object.fromEntries(Object.entries(TABLES).map(([table, count]) => [table, 2 * count])));
  });

  it('has fill factors, names of indexes and checks, in every partition', async () => {
    await migrate(url);
    const options = await old.main.query<{ parent: string; options: string | null; count: number }>(
      `SELECT i.inhparent::regclass::text AS parent, array_to_string(c.reloptions, ',') AS options, count(*)::int AS count FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
       WHERE i.inhparent IN ('millrace.flows'::regclass, 'millrace.phases'::regclass) AND c.relkind = 'r' GROUP BY 1, 2 ORDER BY 1`,
    );
    expect(options.rows.map(({ parent, options: set }) => [parent.replace('millrace.', ''), set])).toEqual([
      ['flows', 'fillfactor=40'],
      ['phases', 'fillfactor=60'],
    ]);
    const indexes = await old.main.query<{ name: string }>(
      "SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indrelid = 'millrace.phases'::regclass ORDER BY 1",
    );
    expect(indexes.rows.map((row) => row.name.replace('millrace.', ''))).toEqual(
      ['backlog', 'dead', 'due', 'parked', 'pkey', 'rated', 'with_signal', 'without_worker'].map((index) => `phases_${index}`),
    );
    await expect(old.main.query("UPDATE millrace.phases SET held = 'nobody'")).resolves.toBeDefined();
    const id = await fill(old, '2021-05-05T00:00:00Z').catch((error: unknown) => error);
    expect(id).toEqual(expect.any(String));
    await expect(old.main.query("UPDATE millrace.phases SET held = 'nobody'")).rejects.toMatchObject({ code: '23514' });
  });

  it('leaves no constraint behind that an id of another month would break', async () => {
    await migrate(url);
    const left = await old.main.query("SELECT FROM pg_constraint WHERE conname = 'partition_bound'");
    expect(left.rowCount).toBe(0);
    await fill(old, '2030-01-01T00:00:00Z');
    expect(await countsIn(old, '_default')).toEqual({ ...TABLES, children: 0 });
  });
});
