// Connections to PostgreSQL: pools with their time-outs, transactions, and the translation of driver errors. Only this package imports `pg`.
import { AppError } from '@millrace/shared';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

/** What a statement runs on: a pool or a client inside a transaction. */
export type Queryable = Pick<pg.ClientBase, 'query'>;
export type PoolClient = pg.PoolClient;

export type Database = {
  /** Reads and rare writes. */
  readonly main: pg.Pool;
  /** The set-based statements of the hot path. Few connections: each carries many rows per statement. */
  readonly hot: pg.Pool;
  /** Transactions that handlers and imports hold open. */
  readonly long: pg.Pool;
  /** Runs `fn` in a transaction of the main pool; rolls back when it throws. */
  transaction<T>(fn: (client: PoolClient) => Promise<T>): Promise<T>;
  close(): Promise<void>;
};

export type DatabaseOptions = {
  url: string;
  /** Shown in pg_stat_activity. */
  name: string;
  poolMax?: { main?: number; hot?: number; long?: number };
  /** Called for failures of idle connections. */
  onError(error: Error): void;
};

/** Time-outs of every session, in milliseconds. A zombie that holds a row lock is ended by the server after the idle limit. */
const SESSION_MS = { statement: 15_000, lock: 5_000, idleInTransaction: 10_000, connect: 3_000 };
/** COPY of one chunk runs as one statement, so it may take longer. */
/** A server that says nothing, not even that a statement took too long, is given up after this. Not for COPY, whose answer may take longer. */
const ANSWER_MS = SESSION_MS.statement + 2_000;
const LONG_STATEMENT_MS = 120_000;
/** More handlers than connections may want a transaction at once: they wait for each other rather than fail. */
const CLOSE_MS = 2_000;
const LONG_CONNECT_MS = 30_000;

/**
 * The hot statements join small arrays and each other's results to big tables by primary key, and every such join also says
 * `id = ANY(array)`. Two kinds of plan would be wrong for ever after they were made: scans of a table that was empty at that time,
 * and nested loops over results whose size the planner takes for one row. With both switched off, index look-ups by the array and
 * hash joins remain, which are right at every size.
 */
const HOT_SETTINGS = '-c enable_seqscan=off -c enable_nestloop=off -c enable_mergejoin=off -c plan_cache_mode=force_generic_plan';

export function createDatabase(options: DatabaseOptions): Database {
  const pool = (
    kind: string,
    max: number,
    extra: { settings?: string; statementMs?: number; connectMs?: number; answerMs?: number } = {},
  ) => {
    const made = new pg.Pool({
      connectionString: options.url,
      application_name: `${options.name}/${kind}`,
      max,
      min: 0,
      idleTimeoutMillis: 30_000,
      connectionTimeoutMillis: extra.connectMs ?? SESSION_MS.connect,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      ...(extra.answerMs === undefined ? {} : { query_timeout: extra.answerMs }),
      options: sessionSettings(extra),
    });
    made.on('error', options.onError);
    // A client in use fails its running query when the connection breaks; without a listener of its own it would end the process as well.
    made.on('connect', (client) => client.on('error', () => undefined));
    return made;
  };
  const main = pool('main', options.poolMax?.main ?? 8, { answerMs: ANSWER_MS });
  const hot = pool('hot', options.poolMax?.hot ?? 4, { settings: HOT_SETTINGS, answerMs: ANSWER_MS });
  const long = pool('long', options.poolMax?.long ?? 16, { statementMs: LONG_STATEMENT_MS, connectMs: LONG_CONNECT_MS });
  return {
    main,
    hot,
    long,
    transaction: (fn) => inTransaction(main, fn),
    close: async () => {
      // A client that is still out, with a handler that was left behind, must not keep the process.
      await Promise.race([Promise.all([main.end(), hot.end(), long.end()]), delay(CLOSE_MS, undefined, { ref: false })]);
    },
  };
}

function sessionSettings({ settings = '', statementMs = SESSION_MS.statement }: { settings?: string; statementMs?: number }): string {
  return [
    `-c statement_timeout=${statementMs}`,
    `-c lock_timeout=${SESSION_MS.lock}`,
    `-c idle_in_transaction_session_timeout=${SESSION_MS.idleInTransaction}`,
    '-c client_connection_check_interval=5000',
    // Compiling a statement of many parts takes longer than anything that is asked here, and the planner's guess of its cost is often too high.
    '-c jit=off',
    '-c TimeZone=UTC',
    settings,
  ].join(' ');
}

/** Runs `fn` between BEGIN and COMMIT. A client whose ROLLBACK fails is thrown away rather than given back. */
export async function inTransaction<T>(pool: pg.Pool, fn: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await connect(pool);
  let broken: Error | undefined;
  try {
    await client.query('BEGIN');
    const result = await fn(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch((rollbackError: unknown) => {
      broken = rollbackError instanceof Error ? rollbackError : new Error(String(rollbackError));
    });
    throw asAppError(error);
  } finally {
    client.release(broken);
  }
}

/** Takes a client. @throws AppError dependency-unavailable when none can be had in time. */
export async function connect(pool: pg.Pool): Promise<PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw asAppError(error);
  }
}

/** The server's time: the one clock that all processes share. */
export async function readServerTime(on: Queryable): Promise<Date> {
  const result = await on.query<{ now: Date }>('SELECT clock_timestamp() AS now');
  const row = result.rows[0];
  if (row === undefined) throw new Error('a statement that always answers one row answered none');
  return row.now;
}

/** SQLSTATE classes that mean "not now": connection, resources, operator intervention, transaction rollback; plus what the driver says of a lost socket. */
const TRANSIENT_STATES = /^(08|53|57|40|55P03|25P0[23])/;
const TRANSIENT_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);
const TRANSIENT_MESSAGES =
  /Query read timeout|Connection terminated|timeout exceeded when trying to connect|timeout expired|not queryable|connection error/i;

/** True when the same statement may succeed later, unchanged. */
export function isTransient(error: unknown): boolean {
  if (error instanceof AppError) return error.code === 'dependency-unavailable';
  const { code, message, errors } = parts(error);
  if (code !== undefined && (TRANSIENT_STATES.test(code) || TRANSIENT_CODES.has(code))) return true;
  return errors.some((inner) => isTransient(inner)) || TRANSIENT_MESSAGES.test(message);
}

/** True when the data of the statement was at fault (classes 22, 23 and 54), so that single items may be tried alone. */
export function isDataFault(error: unknown): boolean {
  return /^(22|23|54)/.test(parts(error).code ?? '');
}

// By shape rather than by `instanceof`: the system's own errors are no instances of a test realm's Error.
function parts(error: unknown): { code: string | undefined; message: string; errors: readonly unknown[] } {
  const { code, message, errors } = (error ?? {}) as { code?: unknown; message?: unknown; errors?: unknown };
  return {
    code: typeof code === 'string' ? code : undefined,
    message: typeof message === 'string' ? message : '',
    errors: Array.isArray(errors) ? errors : [],
  };
}

/** Wraps a driver error that means "not now"; leaves every other error as it is. */
export function asAppError(error: unknown): unknown {
  if (error instanceof AppError || !isTransient(error)) return error;
  return new AppError('dependency-unavailable', { detail: 'The database is not available.', retryAfterSeconds: 2 }, { cause: error });
}
