// The migration as a process: waits for PostgreSQL when that is away, and lets a file that is being applied end when it is told to stop.
import { setTimeout as delay } from 'node:timers/promises';
import { withTimeout, type Logger, type ProcessFrame, type RunningProcess } from '@millrace/process';
import { isTransient } from './database.ts';
import { migrate } from './migrate.ts';
import { ensureSelftestTable } from './selftest-table.ts';

const RETRY_MS = 500;
const SAY_EVERY_MS = 10_000;

type MigrationOptions = { databaseUrl: string; selftest: boolean; log: Pick<Logger, 'warn'>; signal: AbortSignal };

/** Begins the migration; the process ends by itself when that is done. A failure that waiting cannot mend sets exit code 1. */
export function startMigration({ config, log }: ProcessFrame): Promise<RunningProcess> {
  const stopping = new AbortController();
  const done = migrateWhenPossible({ ...config, log, signal: stopping.signal }).then(
    (applied) => {
      log.info({ applied }, applied.length === 0 ? 'schema is up to date' : 'schema migrated');
    },
    (error: unknown) => {
      if (stopping.signal.aborted) return;
      process.stderr.write(`migrate: ${reasonOf(error)}\n`);
      process.exitCode = 1;
    },
  );
  return Promise.resolve({
    stop: async () => {
      stopping.abort();
      // What is not over by then is undone by PostgreSQL, file by file.
      await withTimeout(done, config.stopTimeoutMs).catch(() => undefined);
    },
  });
}

async function migrateWhenPossible({ databaseUrl, selftest, log, signal }: MigrationOptions): Promise<string[]> {
  let saidAt = Number.NEGATIVE_INFINITY;
  for (;;) {
    try {
      const applied = await migrate(databaseUrl);
      if (selftest) await ensureSelftestTable(databaseUrl);
      return applied;
    } catch (error) {
      if (!isAway(error)) throw error;
      if (performance.now() - saidAt >= SAY_EVERY_MS) {
        saidAt = performance.now();
        log.warn({ reason: reasonOf(error) }, 'PostgreSQL is not available, waiting for it');
      }
    }
    await delay(RETRY_MS, undefined, { signal });
  }
}

function isAway(error: unknown): boolean {
  return isTransient(error) || (error instanceof Error && isTransient(error.cause));
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // What several addresses of one host failed with has no message of its own.
  const inner = error instanceof AggregateError ? (error.errors[0] as unknown) : error.cause;
  const message = error.message === '' ? error.name : error.message;
  return inner instanceof Error ? `${message}: ${inner.message}` : message;
}
