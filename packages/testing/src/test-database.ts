// A migrated database of its own for each test file, on the server that DATABASE_URL names.
import { randomBytes } from 'node:crypto';
import { createDatabase, ensureSelftestTable, migrate, type Database } from '@millrace/store';
import { guardLifecycle } from './guard-lifecycle.ts';

export type TestDatabase = {
  readonly url: string;
  readonly database: Database;
  /** Ends the connections of `database` and drops the database, whoever else is still connected. */
  drop(): Promise<void>;
};

/**
 * @param serverUrl a database on the server to use; default: what DATABASE_URL names.
 * @param options.guarded whether it refuses changes of status that must not be, at the cost of a trigger on every change. Default: true;
 * benchmarks measure what is deployed.
 * @throws Error when there is neither.
 */
export async function createTestDatabase(
  serverUrl: string | undefined = process.env['DATABASE_URL'],
  { guarded = true }: { guarded?: boolean } = {},
): Promise<TestDatabase> {
  if (serverUrl === undefined) throw new Error('DATABASE_URL is not set: run the tests with "npm test"');
  const name = `test_${process.pid}_${randomBytes(4).toString('hex')}`;
  await onServer(serverUrl, `CREATE DATABASE ${name}`);
  const url = withDatabaseName(serverUrl, name);
  await migrate(url);
  await ensureSelftestTable(url);
  const database = createDatabase({ url, name: 'test', onError: () => undefined });
  if (guarded) await guardLifecycle(database.main);
  return {
    url,
    database,
    drop: async () => {
      await database.close();
      await onServer(serverUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
}

async function onServer(url: string, statement: string): Promise<void> {
  const server = createDatabase({ url, name: 'test-server', poolMax: { main: 1 }, onError: () => undefined });
  try {
    await server.main.query(statement);
  } finally {
    await server.close();
  }
}

function withDatabaseName(url: string, name: string): string {
  const renamed = new URL(url);
  renamed.pathname = `/${name}`;
  return renamed.href;
}
