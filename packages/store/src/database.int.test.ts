import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase, eventually, type TestDatabase } from '@millrace/testing';
import { connect, createDatabase, inTransaction, type Database, type PoolClient } from './database.ts';

let test: TestDatabase;

beforeAll(async () => {
  test = await createTestDatabase();
});

afterAll(async () => {
  await test.drop();
});

const POOLS = ['main', 'hot', 'long'] as const;
const openDatabase = (options: Partial<Parameters<typeof createDatabase>[0]> = {}): Database =>
  createDatabase({ url: test.url, name: 'probe', onError: () => undefined, ...options });
const backendOf = async (client: Pick<PoolClient, 'query'>) =>
  (await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid ?? 0;
const terminate = (pid: number) => test.database.main.query('SELECT pg_terminate_backend($1)', [pid]);

describe('every pool', () => {
  it.each(POOLS)('%s has all time-outs of a session, and tells its name', async (kind) => {
    const settings = await test.database[kind].query<{ name: string; setting: string }>(
      "SELECT name, setting FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'client_connection_check_interval', 'TimeZone', 'application_name')",
    );
    expect(Object.fromEntries(settings.rows.map((row) => [row.name, row.setting]))).toEqual({
      statement_timeout: kind === 'long' ? '120000' : '15000',
      lock_timeout: '5000',
      idle_in_transaction_session_timeout: '10000',
      client_connection_check_interval: '5000',
      TimeZone: 'UTC',
      application_name: `test/${kind}`,
    });
  });

  it('has no plan of the hot statements depend on what a table held at some time', async () => {
    const settings = await test.database.hot.query<{ name: string; setting: string }>(
      "SELECT name, setting FROM pg_settings WHERE name IN ('enable_seqscan', 'enable_nestloop', 'enable_mergejoin', 'jit', 'plan_cache_mode')",
    );
    expect(Object.fromEntries(settings.rows.map((row) => [row.name, row.setting]))).toEqual({
      enable_seqscan: 'off',
      enable_nestloop: 'off',
      enable_mergejoin: 'off',
      jit: 'off',
      plan_cache_mode: 'force_generic_plan',
    });
  });
});

describe('a connection that is killed', () => {
  it.each(POOLS)('while idle in %s is reported, and the next query has another', async (kind) => {
    const reported: string[] = [];
    const database = openDatabase({
      onError: (error) => {
        reported.push(error.message);
      },
    });
    await terminate(await backendOf(database[kind]));
    await eventually(() => {
      expect(reported).toHaveLength(1);
    });
    expect((await database[kind].query('SELECT 1')).rowCount).toBe(1);
    await database.close();
  });

  it('while in use fails its query and nothing else', async () => {
    const database = openDatabase();
    const client = await connect(database.long);
    await terminate(await backendOf(client));
    await expect(client.query('SELECT 1')).rejects.toThrow();
    client.release(true);
    expect((await database.long.query('SELECT 1')).rowCount).toBe(1);
    await database.close();
  });

  it('within a transaction makes it "not available", and the client is not used again', async () => {
    const database = openDatabase({ poolMax: { main: 1 } });
    const doomed = database.transaction(async (client) => {
      await terminate(await backendOf(client));
      await client.query('SELECT 1');
    });
    await expect(doomed).rejects.toMatchObject({ code: 'dependency-unavailable', details: { retryAfterSeconds: 2 } });
    expect((await database.main.query('SELECT 1')).rowCount).toBe(1);
    await database.close();
  });
});

describe('a transaction', () => {
  it('commits what it did, or undoes it when it throws, and passes the error on', async () => {
    const error = new Error('own');
    const insert = (key: string, fault?: Error) =>
      test.database.transaction(async (client) => {
        await client.query('INSERT INTO selftest_ledger (key, phase) VALUES ($1, $1)', [key]);
        if (fault !== undefined) throw fault;
        return key;
      });
    expect(await insert('kept')).toBe('kept');
    await expect(insert('undone', error)).rejects.toBe(error);
    expect((await test.database.main.query('SELECT key FROM selftest_ledger')).rows).toEqual([{ key: 'kept' }]);
  });

  it('gives its client back, whatever happens', async () => {
    const database = openDatabase({ poolMax: { main: 1 } });
    for (let round = 0; round < 3; round += 1)
      await expect(inTransaction(database.main, (client) => client.query('SELECT 1/0'))).rejects.toMatchObject({ code: '22012' });
    expect(database.main.idleCount).toBe(1);
    await database.close();
  });
});

describe('a database that is away', () => {
  it('is reported as not available, without waiting for long', async () => {
    const away = openDatabase({ url: 'postgres://nobody@127.0.0.1:1/none' });
    await expect(connect(away.main)).rejects.toMatchObject({ code: 'dependency-unavailable' });
    await expect(away.transaction(() => Promise.resolve())).rejects.toMatchObject({ code: 'dependency-unavailable' });
    await away.close();
  });
});
