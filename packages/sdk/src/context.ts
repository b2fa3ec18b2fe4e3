// What a phase's handler may do. The engine in the worker implements this; flows only ever see the type.
import type { CsvOptions, Duration } from '@millrace/shared';

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

export type RateLimitOptions = {
  /** Gives each value of it a limit of its own, as `key` of a phase's `rateLimit` does. Cut at 200 characters. */
  key?: string;
  /**
   * How long to wait in place, holding the worker's slot; default 1 s. When it would take longer the phase goes back to the queue until
   * then, at no cost of an attempt. `return`: does not wait at all, the call answers false.
   */
  wait?: 'return' | Duration;
};

/** What an import reads, and how. As the body of POST /v1/imports. */
export type ImportContent = {
  /** The file: text, bytes, or a stream of bytes. gzip and zstd are recognised by their first bytes. */
  content: string | Uint8Array | AsyncIterable<Uint8Array>;
  /** Default insert. */
  mode?: 'insert' | 'upsert';
  /** Default auto. */
  format?: 'auto' | 'csv' | 'ndjson';
  /** Source column to dataset column. */
  mapping?: Record<string, string>;
  csv?: CsvOptions;
  /** Default fail. */
  onUnknownColumn?: 'fail' | 'ignore' | 'keep';
  /** More rejects than this fail the import. Default: no limit. */
  maxRejects?: number;
};

/** A file to be imported, or an import that somebody else has made and that only is waited for. */
export type ImportSource = ImportContent | { importId: string };

/** An import that has completed: its rows, and what became of each row of the file. */
export type ImportOutcome = ImportedRows & {
  importId: string;
  rowsInserted: number;
  rowsUpdated: number;
  rowsUnchanged: number;
  rowsSuperseded: number;
  rowsRejected: number;
};

export type StartOptions = {
  /**
   * Tells this child from others that the same phase starts, of whatever flow. Default: the flow's name and the number of the call; give one
   * when calls may change their order.
   */
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
  /**
   * Runs `fn` once and keeps its result with the phase: a later attempt, or a later call of the same name in this one, gets what was kept.
   * That is what JSON makes of the result, for the first call too: a date becomes text, undefined null. Calls of one name at the same time
   * run it once; a step may call others. At most 1 MiB as JSON each, 1,000 steps and 16 MiB in all.
   * @throws PermanentError beyond these limits, and for a step inside itself.
   */
  step<T>(name: string, fn: () => Promise<T> | T): Promise<T>;
  /**
   * Waits for this long without a worker. Also survives restarts: the handler runs again from its start, and what it did in steps is not done
   * again. What runs beside a wait must be a step. Not inside of `step`.
   */
  sleep(duration: Duration): Promise<void>;
  /**
   * Waits for a signal to this flow, without a worker, and answers what was sent. One that came before is taken at once; it can come before
   * the handler waits when the definition names it in `signals`. Not inside of `step`.
   * @throws SignalTimeout when it has not come in time.
   */
  waitFor<T = unknown>(signal: string, options?: { timeout?: Duration }): Promise<T>;
  /**
   * Starts a child flow, once however often the phase is tried, and waits for its end without a worker. Call it many times with Promise.all
   * to fan out. Inside of `step` only with `wait: false`. @throws ChildFlowFailed when it failed and that is this phase's failure too.
   */
  start(flow: string, input: unknown, options?: StartOptions): Promise<ChildFlow>;
  /** Holds a lock shared by all processes while `fn` runs. Throws when it cannot be had. `fence` rises with every holder. */
  lock<T>(resource: string, fn: (lease: { signal: AbortSignal; fence: number }) => Promise<T> | T, options?: LockOptions): Promise<T>;
  /**
   * Takes `units` (default 1) of a rate limit of the flow's `limits`, from all of its windows. The limit is shared by all phases of the
   * workspace that name it. True once the units are there; false only with `wait: 'return'`. Taken units stay taken when the attempt fails;
   * a handler that runs again takes anew, unless the call is inside a step.
   * @throws PermanentError when the flow has no such limit or a window never holds that many units.
   */
  rateLimit(name: string, units?: number, options?: RateLimitOptions): Promise<boolean>;
  /**
   * Records what this phase consumes: `tokens`, `cost`, or any other kind `[a-z][a-z0-9_]{0,39}`, at most 32 of them per attempt. Summed by
   * day for the key that started the flow. It counts whatever becomes of the attempt, so record what was consumed, when it was; inside
   * the step that consumed it where the handler may run again.
   */
  usage(kind: string, amount: number): void;
  /**
   * Runs `fn` in a PostgreSQL transaction that commits together with the phase, or not at all. Call it as the last thing:
   * the transaction stays open until the handler returns, and the server ends one that idles for 10 s. Calls take turns. A call inside
   * `fn` is a part of it; what the outer client sends meanwhile is undone with the inner call when that fails.
   */
  transaction<T>(fn: (client: TransactionClient) => Promise<T>): Promise<T>;
  /**
   * Imports a file into a dataset of the workspace and waits until all its rows are there. Made once per run and `key` (default: the name of
   * the dataset): a later attempt finds the same import, and its content is not read again once it was received.
   * @throws PermanentError when there is no such dataset or the options do not fit it. @throws Error with the import's own code when it
   * failed; permanent when trying again cannot help.
   */
  import(dataset: string, source: ImportSource, options?: { key?: string }): Promise<ImportOutcome>;
  /** The rows of a finished import. Throws when there is no such import in this workspace or it has not completed. */
  imported(importId: string): Promise<ImportedRows>;
};
