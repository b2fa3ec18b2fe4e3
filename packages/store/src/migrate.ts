// Brings a database to the schema of this code: numbered SQL files, forward only, each in one transaction, one migrator at a time.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import pg from 'pg';

const MIGRATIONS_FOLDER = new URL('../migrations/', import.meta.url);
/** Any constant will do as long as nothing else in the database uses it as an advisory lock. */
const MIGRATION_LOCK = 7_266_310_001;
const FILE_PATTERN = /^(\d{4})_[a-z0-9_]+\.sql$/;

export type Migration = { version: number; name: string; sql: string; checksum: string };

/** The migrations of this code in order. @throws Error when a file's name or number does not fit. */
export async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(MIGRATIONS_FOLDER)).filter((name) => name.endsWith('.sql')).sort();
  return Promise.all(
    names.map(async (name, index) => {
      const version = Number(FILE_PATTERN.exec(name)?.[1]);
      if (version !== index + 1) throw new Error(`migration ${name} should have number ${index + 1}`);
      const sql = await readFile(new URL(name, MIGRATIONS_FOLDER), 'utf8');
      return { version, name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

/**
 * Applies what is missing and answers the names of what was applied. Two migrators at once: the second waits and finds nothing to do.
 * @throws Error when an applied migration differs from its file.
 */
export async function migrate(databaseUrl: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 5_000, application_name: 'millrace-migrate' });
  await client.connect();
  try {
    await client.query(`SELECT pg_advisory_lock(${MIGRATION_LOCK})`);
    await client.query('CREATE SCHEMA IF NOT EXISTS millrace');
    await client.query(
      'CREATE TABLE IF NOT EXISTS millrace.migrations (version int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())',
    );
    const applied = new Map(
      (await client.query<{ version: number; checksum: string }>('SELECT version, checksum FROM millrace.migrations')).rows.map((row) => [
        row.version,
        row.checksum,
      ]),
    );
    const done: string[] = [];
    for (const migration of await readMigrations()) {
      const checksum = applied.get(migration.version);
      if (checksum === undefined) {
        await apply(client, migration);
        done.push(migration.name);
      } else if (checksum !== migration.checksum) throw new Error(`migration ${migration.name} was changed after it had been applied`);
    }
    return done;
  } finally {
    await client.end();
  }
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query(migration.sql);
    await client.query('INSERT INTO millrace.migrations (version, name, checksum) VALUES ($1, $2, $3)', [
      migration.version,
      migration.name,
      migration.checksum,
    ]);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw new Error(`migration ${migration.name} failed`, { cause: error });
  }
}

/** The version the database stands at; 0 when it was never migrated. */
export async function schemaVersion(client: Pick<pg.Pool, 'query'>): Promise<number> {
  const found = await client.query<{ exists: boolean }>("SELECT to_regclass('millrace.migrations') IS NOT NULL AS exists");
  if (found.rows[0]?.exists !== true) return 0;
  const version = await client.query<{ version: number }>('SELECT coalesce(max(version), 0) AS version FROM millrace.migrations');
  return version.rows[0]?.version ?? 0;
}
