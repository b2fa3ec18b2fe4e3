// Waits for the end of an import. The only place that knows how a phase waits for one.
import { setTimeout as delay } from 'node:timers/promises';
import { isTerminalImport } from '@millrace/shared';
import { PermanentError } from '@millrace/sdk';
import { isTransient, readImport, type Database, type StoredImport } from '@millrace/store';

const WAIT_MS = { first: 50, max: 1_000, factor: 1.5 };

/**
 * The import as it ended. An outage of PostgreSQL is waited through.
 * @throws what `signal` aborts with. @throws PermanentError when there is no such import (any more).
 */
export async function importEnded(
  database: Pick<Database, 'main'>,
  target: { importId: string; workspace: string },
  signal: AbortSignal,
): Promise<StoredImport> {
  for (let waitMs = WAIT_MS.first; ; waitMs = Math.min(WAIT_MS.max, waitMs * WAIT_MS.factor)) {
    signal.throwIfAborted();
    const found = await readWhenThere(database, target);
    if (found === null) throw new PermanentError(`there is no import ${target.importId}`);
    if (found !== undefined && isTerminalImport(found.status)) return found;
    await delay(waitMs, undefined, { signal });
  }
}

/** Null when there is none, undefined when that cannot be said now. */
async function readWhenThere(
  database: Pick<Database, 'main'>,
  target: { importId: string; workspace: string },
): Promise<StoredImport | null | undefined> {
  try {
    return (await readImport(database.main, target)) ?? null;
  } catch (error) {
    if (isTransient(error)) return undefined;
    throw error;
  }
}
