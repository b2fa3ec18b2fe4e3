import { randomBytes } from 'node:crypto';
import { connect, createServer, type AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startProcess } from '@millrace/testing';
import { createDatabase, type Database } from './database.ts';
import { readInstance } from './instance.ts';
import { migrate, readMigrations, schemaVersion } from './migrate.ts';
import { ensureSelftestTable } from './selftest-table.ts';

const serverUrl = process.env['DATABASE_URL'] ?? '';
let server: Database;
let name: string;
let url: string;
let database: Database;

beforeAll(() => {
  server = createDatabase({ url: serverUrl, name: 'test-server', onError: () => undefined });
});

afterAll(async () => {
  await server.close();
});

// An empty database for each test.
beforeEach(async () => {
  name = `test_migrate_${randomBytes(4).toString('hex')}`;
  await server.main.query(`CREATE DATABASE ${name}`);
  const renamed = new URL(serverUrl);
  renamed.pathname = `/${name}`;
  url = renamed.href;
  database = createDatabase({ url, name: 'test', onError: () => undefined });
});

afterEach(async () => {
  await database.close();
  await server.main.query(`DROP DATABASE ${name} WITH (FORCE)`);
});

const rows = async <Row extends object>(sql: string) => (await database.main.query<Row>(sql)).rows;
const exists = async (table: string) =>
  (await rows<{ exists: boolean }>(`SELECT to_regclass('${table}') IS NOT NULL AS exists`))[0]?.exists;

describe('migrate', () => {
  it('brings an empty database to the schema of this code', async () => {
    const names = (await readMigrations()).map((migration) => migration.name);
    expect(await schemaVersion(database.main)).toBe(0);
    expect(await migrate(url)).toEqual(names);
    expect(await schemaVersion(database.main)).toBe(names.length);
    expect(
      await Promise.all(['flows', 'phases', 'events', 'attempts', 'steps', 'api_keys'].map((table) => exists(`millrace.${table}`))),
    ).toEqual(Array.from({ length: 6 }, () => true));
  });

  it('has nothing to do the second time', async () => {
    await migrate(url);
    const before = await rows('SELECT * FROM millrace.migrations ORDER BY version');
    expect(await migrate(url)).toEqual([]);
    expect(await rows('SELECT * FROM millrace.migrations ORDER BY version')).toEqual(before);
  });

  it('is done once by any number of migrators at the same time', async () => {
    const applied = await Promise.all([1, 2, 3, 4].map(() => migrate(url)));
    expect(applied.flat()).toEqual((await readMigrations()).map((migration) => migration.name));
    expect(await rows('SELECT count(*)::int AS count FROM millrace.instance')).toEqual([{ count: 1 }]);
  });

  it('refuses a database to which another text of a migration was applied', async () => {
    await migrate(url);
    await rows("UPDATE millrace.migrations SET checksum = 'other' WHERE version = 2");
    await expect(migrate(url)).rejects.toThrow(/^migration 0002_\w+\.sql was changed after it had been applied$/);
  });

  it('undoes a migration that fails, keeps those before it, and goes on once the cause is gone', async () => {
    await rows('CREATE SCHEMA millrace CREATE TABLE attempts (mine int)');
    await expect(migrate(url)).rejects.toMatchObject({ message: 'migration 0002_flows.sql failed', cause: { code: '42P07' } });
    expect(await schemaVersion(database.main)).toBe(1);
    expect([await exists('millrace.api_keys'), await exists('millrace.flows'), await exists('millrace.phases')]).toEqual([
      true,
      false,
      false,
    ]);
    await rows('DROP TABLE millrace.attempts');
    expect((await migrate(url))[0]).toBe('0002_flows.sql');
  });

  it('leaves the lock free after a failure', async () => {
    await rows('CREATE SCHEMA millrace CREATE TABLE attempts (mine int)');
    await expect(migrate(url)).rejects.toThrow();
    expect(
      await rows(
        "SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
      ),
    ).toEqual([]);
  });
});

describe('npm run migrate', () => {
  const start = (env: Record<string, string>) => startProcess('packages/store/src/migrate-main.ts', { env });

  it.each([
    [{ DATABASE_URL: 'http://127.0.0.1/x' }, 'DATABASE_URL: must be a URL'],
    [{ DATABASE_URL: 'nothing' }, 'DATABASE_URL: must be a URL'],
    [{ DATABASE_URL: 'postgres://127.0.0.1/x', MILLRACE_PROT: '1' }, 'MILLRACE_PROT: is not a known variable, did you mean MILLRACE_PORT?'],
  ])('ends with exit code 78 and one clear message with %j', async (env, message) => {
    const migrating = start(env);
    expect(await migrating.exited).toBe(78);
    expect(migrating.logs.map((entry) => entry.msg)).toEqual([
      'migrate: the configuration has 1 fault(s):',
      expect.stringContaining(message),
    ]);
  });

  it('brings the schema up to date, says so, and ends with 0, without Redis', async () => {
    const migrating = start({ DATABASE_URL: url, MILLRACE_SELFTEST: '1' });
    expect(await migrating.exited).toBe(0);
    expect(migrating.logs).toMatchObject([{ msg: 'schema migrated', applied: expect.arrayContaining(['0001_foundation.sql']) }]);
    expect(await exists('selftest_ledger')).toBe(true);
    const again = start({ DATABASE_URL: url });
    expect([await again.exited, again.logs[0]?.msg]).toEqual([0, 'schema is up to date']);
  });

  it('waits while PostgreSQL is away, goes on when it is there, and ends with 0 when it is told to stop', async () => {
    const gate = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => gate.listen(0, '127.0.0.1', resolve));
    const { port } = gate.address() as AddressInfo;
    await new Promise((resolve) => gate.close(resolve));
    const behind = new URL(url);
    const server = { host: behind.hostname, port: Number(behind.port) };
    behind.host = `127.0.0.1:${port}`;
    const [waiting, stopped] = [start({ DATABASE_URL: behind.href }), start({ DATABASE_URL: behind.href })];
    await Promise.all([waiting, stopped].map((one) => one.logged((entry) => entry.msg === 'PostgreSQL is not available, waiting for it')));
    stopped.signal('SIGTERM');
    expect(await stopped.exited).toBe(0);
    const relay = createServer((socket) => {
      const upstream = connect(server);
      socket.pipe(upstream).pipe(socket);
      for (const end of [socket, upstream]) end.on('error', () => socket.destroy());
    });
    await new Promise<void>((resolve) => relay.listen(port, '127.0.0.1', resolve));
    expect(await waiting.exited).toBe(0);
    relay.close();
    expect(await schemaVersion(database.main)).toBeGreaterThan(0);
  });

  it('ends with 1 and the reason when waiting would not help', async () => {
    await rows('CREATE SCHEMA millrace CREATE TABLE attempts (mine int)');
    const migrating = start({ DATABASE_URL: url });
    expect(await migrating.exited).toBe(1);
    expect(migrating.logs.map((entry) => entry.msg)).toEqual([expect.stringMatching(/^migrate: migration \S+ failed: .*attempts/)]);
  });
});

describe('readInstance', () => {
  it('answers the same epoch and secret on every read, and others for another database', async () => {
    await migrate(url);
    const [first, second] = [await readInstance(database.main), await readInstance(database.hot)];
    expect(first).toEqual(second);
    expect(first.epoch).toMatch(/^[0-9a-f]{12}$/);
    expect(first.cursorSecret).toHaveLength(32);
    await rows('UPDATE millrace.instance SET id = gen_random_uuid()');
    expect((await readInstance(database.main)).epoch).not.toBe(first.epoch);
  });
});

describe('ensureSelftestTable', () => {
  it('may be called by several processes at once, and keeps what is there', async () => {
    await Promise.all([1, 2, 3].map(() => ensureSelftestTable(url)));
    await rows("INSERT INTO selftest_ledger (key, phase) VALUES ('k', 'p'), ('k', 'p')");
    await ensureSelftestTable(url);
    expect(await rows('SELECT key, phase FROM selftest_ledger')).toHaveLength(2);
  });
});
