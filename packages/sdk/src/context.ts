// What a phase's handler may do. The engine in the worker implements this; flows only ever see the type.
import type { Duration } from '@millrace/shared';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Durable log lines of a phase: they become `log` events of the flow. Messages are cut at 4,000 characters. */
export type PhaseLog = Record<LogLevel, (message: string, data?: Record<string, unknown>) => void>;

/** A client inside an open transaction. `$1`-style parameters. */
export type TransactionClient = {
  query<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<{ rows: Row[]; rowCount: number | null }>;
};

export type LockOptions = {
  /** How long the lock lives without renewal; it is renewed while `fn` runs. Default 30 s. */
  ttl?: Duration;
  /** How often to try. Default 10. */
  tries?: number;
  /** Between tries, with jitter. Default 100 ms. */
  retryDelay?: Duration;
};

/** Rows that an import brought in, for phases that work on imported data. */
export type ImportedRows = {
  dataset: string;
  columns: readonly { name: string; type: string }[];
  rowCount: number;
  /** All rows in the order of the file, in batches, as text or null by column. An upsert's rows are the dataset as a whole. */
  batches(): AsyncIterable<readonly Record<string, string | null>[]>;
};

export type StartOptions = {
  /** Tells this child from others that the same phase starts. Default: the flow's name and the number of the call; give one when calls may change their order. */
  key?: string;
  /** True: the phase waits for the child's end, without a worker. Default true. */
  wait?: boolean;
  /** What the child's failure means: `fail` this phase too; `continue`: the result says so; `ignore`: it counts as done. Default fail. */
  onFailure?: 'fail' | 'continue' | 'ignore';
  priority?: number;
  tags?: Readonly<Record<string, string>>;
};

/** A child flow. `status` is `started` when it is not waited for; `outputs` are the results of its phases by name. */
export type ChildFlow = {
  id: string;
  status: 'started' | 'completed' | 'failed' | 'cancelled';
  outputs: Record<string, unknown>;
  error?: { code: string; message: string };
};

export type PhaseContext<Input = unknown, Outputs = Record<string, unknown>> = {
  readonly flowId: string;
  readonly phase: string;
  readonly workspace: string;
  readonly input: Input;
  /** Results of the phases this one needs, by name. */
  readonly outputs: Outputs;
  /** 1 for the first attempt. Interruptions do not count. */
  readonly attempt: number;
  /** The same for every attempt of this phase in this run: hand it to services outside, so that they act once. */
  readonly idempotencyKey: string;
  /** Aborts when the flow is cancelled, the soft time limit passes, the lease is lost or the process stops. */
  readonly signal: AbortSignal;
  readonly log: PhaseLog;
  /** Reports progress, 0..1. Throttled: the last one wins, so call it as often as is handy. */
  progress(fraction: number, message?: string, detail?: unknown): void;
  /** Runs `fn` once and keeps its result with the phase: a later attempt gets the kept result. At most 1 MiB as JSON. */
  step<T>(name: string, fn: () => Promise<T> | T): Promise<T>;
  /**
   * Waits for this long without a worker. Also survives restarts: the handler runs again from its start, and what it did in steps is not done
   * again. What runs beside a wait must be a step. Not inside of `step`.
   */
  sleep(duration: Duration): Promise<void>;
  /**
   * Waits for a signal to this flow, without a worker, and answers what was sent. One that came before is taken at once; it can come before
   * the handler waits when the definition names it in `signals`.
   * @throws SignalTimeout when it has not come in time.
   */
  waitFor<T = unknown>(signal: string, options?: { timeout?: Duration }): Promise<T>;
  /**
   * Starts a child flow, once however often the phase is tried, and waits for its end without a worker. Call it many times with Promise.all
   * to fan out. @throws ChildFlowFailed when it failed and that is this phase's failure too.
   */
  start(flow: string, input: unknown, options?: StartOptions): Promise<ChildFlow>;
  /** Holds a lock shared by all processes while `fn` runs. Throws when it cannot be had. `fence` rises with every holder. */
  lock<T>(resource: string, fn: (lease: { signal: AbortSignal; fence: number }) => Promise<T> | T, options?: LockOptions): Promise<T>;
  /**
   * Runs `fn` in a PostgreSQL transaction that commits together with the phase, or not at all. Call it as the last thing:
   * the transaction stays open until the handler returns, and the server ends one that idles for 10 s.
   */
  transaction<T>(fn: (client: TransactionClient) => Promise<T>): Promise<T>;
  /** The rows of a finished import. Throws when there is no such import in this workspace or it has not completed. */
  imported(importId: string): Promise<ImportedRows>;
};
