// An operation as it is kept: work on many flows or dead phases that workers carry out step by step.
import type { OperationKind, OperationStatus } from '@millrace/shared';
import type { DeadPosition } from '../dead/dead-selection.ts';
import type { FlowFilter } from '../search/flow-filter.ts';

/** What was asked for, in the words of the request. */
export type OperationRequest = { ids?: readonly string[]; filter?: Readonly<Record<string, unknown>> };

/** The same as the store understands it. `flows`: of a cancel or retry. `failedAfter`, `failedBefore`: of a replay or purge. */
export type OperationSelection = {
  asked: OperationRequest;
  flows?: Omit<FlowFilter, 'workspace'>;
  failedAfter?: string;
  failedBefore?: string;
};

/** `before`: the next step looks at flows older than this id. */
export type OperationCursor = { before: string } | DeadPosition;

/** How a replay feels its way. Counts are of runs. */
export type CanaryState = {
  /** Flows drawn at random that are still to be replayed, before the rest is worked off in order. Null: not drawn yet. */
  sample: string[] | null;
  /** Runs of the present step, and how many of them are still to be opened. */
  step: number;
  stepLeft: number;
  released: number;
  /** How those ended that have been judged. `unjudged`: cancelled, or retried by somebody else. */
  recovered: number;
  returned: number;
  otherwise: number;
  unjudged: number;
};

export type StoredOperation = {
  id: string;
  workspace: string;
  kind: OperationKind;
  status: OperationStatus;
  selection: OperationSelection;
  incidents: string[] | null;
  rate_per_second: number;
  total: number | null;
  total_capped: boolean;
  done: number;
  succeeded: number;
  skipped: number;
  failed: number;
  cursor: OperationCursor | null;
  canary: CanaryState | null;
  message: string | null;
  created_by: string;
  created_at: Date;
  started_at: Date | null;
  finished_at: Date | null;
  failures: number;
  fence: string;
  /** `created_at` with all its digits. */
  created_text: string;
  /** Milliseconds of the database's clock: up to when the rate was used, and now. */
  paced_at_ms: number;
  now_ms: number;
};

export const OPERATION_COLUMNS = `id, workspace, kind, status, selection, incidents, rate_per_second, total, total_capped, done, succeeded, skipped, failed,
  cursor, canary, message, created_by, created_at, started_at, finished_at, failures, fence, created_at::text AS created_text,
  (extract(epoch FROM paced_at) * 1000)::float8 AS paced_at_ms, (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms`;
