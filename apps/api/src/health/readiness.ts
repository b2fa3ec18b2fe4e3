// Whether this process can accept work now: PostgreSQL answers and has the schema of this code; Redis may be away.
import { AppError } from '@millrace/shared';
import { withTimeout } from '@millrace/process';

export type Readiness = {
  /** @throws AppError dependency-unavailable saying what is missing */
  check(): Promise<{ status: 'ok' | 'degraded'; parts: { postgres: 'ok'; redis: 'ok' | 'away' } }>;
  /** From now on the process is not ready: it is about to stop. */
  beginStopping(): void;
};

export type ReadinessDeps = {
  /** The version the database stands at; 0 when it was never migrated. */
  schemaVersion(): Promise<number>;
  /** The version this code needs. A newer database is fine: it was migrated for the next version, which runs beside this one. */
  schemaVersionNeeded(): Promise<number>;
  isRedisReady(): boolean;
};

const CHECK_TIMEOUT_MS = 2_000;
const RETRY_AFTER_SECONDS = 1;

export function createReadiness(deps: ReadinessDeps): Readiness {
  let stopping = false;
  return {
    check: async () => {
      if (stopping) throw notReady('This process is stopping.');
      const [version, needed] = await versions(deps);
      if (version < needed)
        throw notReady(`The database is at schema version ${version} and this code needs ${needed}: run npm run migrate.`);
      const redis = deps.isRedisReady() ? 'ok' : 'away';
      return { status: redis === 'ok' ? 'ok' : 'degraded', parts: { postgres: 'ok', redis } };
    },
    beginStopping: () => {
      stopping = true;
    },
  };
}

async function versions(deps: ReadinessDeps): Promise<[number, number]> {
  try {
    return await withTimeout(Promise.all([deps.schemaVersion(), deps.schemaVersionNeeded()]), CHECK_TIMEOUT_MS);
  } catch (error) {
    throw new AppError(
      'dependency-unavailable',
      { detail: 'PostgreSQL is away.', retryAfterSeconds: RETRY_AFTER_SECONDS },
      { cause: error },
    );
  }
}

function notReady(detail: string): AppError {
  return new AppError('dependency-unavailable', { detail, retryAfterSeconds: RETRY_AFTER_SECONDS });
}
