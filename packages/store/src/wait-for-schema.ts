// A process that starts before its database, or before the migration, waits for them and says so instead of ending.
import { setTimeout as delay } from 'node:timers/promises';
import type { Database } from './database.ts';
import { readMigrations, schemaVersion } from './migrate.ts';

const RETRY_MS = 500;
const SAY_EVERY_MS = 10_000;

type WarningLog = { warn(detail: object, text: string): void };

/** Settles when the schema is at least the one this code needs. @throws the signal's reason when it aborts first. */
export async function waitForSchema({
  database,
  log,
  signal,
}: {
  database: Pick<Database, 'main'>;
  log: WarningLog;
  signal: AbortSignal;
}): Promise<void> {
  const needed = (await readMigrations()).length;
  let saidAt = Number.NEGATIVE_INFINITY;
  const say = (text: string, detail: object) => {
    if (performance.now() - saidAt < SAY_EVERY_MS) return;
    saidAt = performance.now();
    log.warn(detail, text);
  };
  for (;;) {
    try {
      const version = await schemaVersion(database.main);
      if (version >= needed) return;
      say('the database has an older schema: run "npm run migrate"', { version, needed });
    } catch (error) {
      say('PostgreSQL is not available, waiting for it', { reason: error instanceof Error ? error.message : String(error) });
    }
    await delay(RETRY_MS, undefined, { signal });
  }
}
