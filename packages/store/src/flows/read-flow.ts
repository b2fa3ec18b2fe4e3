// Reads one flow with its phases, as its API answer needs it.
import { lastMemberId, type FlowStatus, type PhaseStatus } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import type { CancelledHow } from './cancellations.ts';
import type { FlowPause } from './pause-flow.ts';

export type StoredFlow = {
  id: string;
  name: string;
  version: number;
  status: FlowStatus;
  run: number;
  workspace: string;
  input: unknown;
  tags: Record<string, string>;
  priority: number;
  error: { code: string; message: string; phase?: string } | null;
  run_at: Date | null;
  expires_at: Date | null;
  concurrency_key: string | null;
  concurrency_limit: number;
  created_at: Date;
  started_at: Date | null;
  finished_at: Date | null;
  seq_last: number;
  /** While it is paused. */
  pause: FlowPause | null;
};

export type StoredPhase = {
  id: string;
  name: string;
  status: PhaseStatus;
  needs: string[];
  attempts: number;
  output: unknown;
  error: { code: string; message: string } | null;
  started_at: Date | null;
  finished_at: Date | null;
};

/** Of a cancelled flow: when and by whom, and what became of each phase that ran then, in order of definition. */
export type StoredCancellation = {
  requested_at: Date;
  /** Null for flows that were cancelled before this was kept. */
  by: string | null;
  phases: {
    phase: string;
    worker: string;
    requested_at: Date;
    seen_at: Date | null;
    ended_at: Date | null;
    how: CancelledHow | null;
  }[];
};

export type FlowSnapshot = { flow: StoredFlow; phases: StoredPhase[]; cancellation: StoredCancellation | null };

/**
 * The flow and its phases in order of definition, from one snapshot. Gathered as json: jsonb_agg copies every element of the outputs again
 * and takes seconds for one of 1 MiB. Undefined when there is none with this id in this workspace.
 */
export async function readFlow(on: Queryable, target: { flowId: string; workspace: string }): Promise<FlowSnapshot | undefined> {
  const result = await on.query<FlowSnapshot>({
    name: 'read-flow',
    text: `
SELECT to_jsonb(f) - 'created_by' AS flow,
  (SELECT coalesce(json_agg(json_build_object('id', p.id, 'name', p.name, 'status', p.status, 'attempts', p.attempts, 'output', p.output,
            'error', p.error - 'stack', 'started_at', p.started_at, 'finished_at', p.finished_at,
            'needs', CASE WHEN cardinality(p.needs) = 0 THEN '[]'::json ELSE (SELECT coalesce(json_agg(n.name ORDER BY n.id), '[]') FROM millrace.phases n WHERE n.id = ANY(p.needs)) END
          ) ORDER BY p.id), '[]') FROM millrace.phases p WHERE p.id > $1 AND p.id <= $3) AS phases,
  CASE WHEN f.status = 'cancelled' THEN jsonb_build_object('requested_at', f.finished_at, 'by', f.cancelled_by, 'phases',
    (SELECT coalesce(jsonb_agg(jsonb_build_object('phase', c.phase, 'worker', c.worker, 'requested_at', c.requested_at, 'seen_at', c.seen_at,
              'ended_at', c.ended_at, 'how', c.how) ORDER BY c.phase_id), '[]')
     FROM millrace.cancellations c WHERE c.flow_id = f.id AND c.run = f.run)) END AS cancellation
FROM millrace.flows f WHERE f.id = $1 AND f.workspace = $2`,
    values: [target.flowId, target.workspace, lastMemberId(target.flowId)],
  });
  const row = result.rows[0];
  return row === undefined
    ? undefined
    : { ...fromJson(row), cancellation: row.cancellation === null ? null : cancellationOf(row.cancellation) };
}

/** The head of a flow's or import's event log, and whether it has ended; for streams. */
export async function readFlowHead(
  on: Queryable,
  target: { flowId: string; workspace: string },
): Promise<{ status: FlowStatus; seqLast: number } | undefined> {
  const result = await on.query<{ status: FlowStatus; seqLast: number }>({
    name: 'read-flow-head',
    text: 'SELECT status, seq_last AS "seqLast" FROM millrace.flows WHERE id = $1 AND workspace = $2',
    values: [target.flowId, target.workspace],
  });
  return result.rows[0];
}

function cancellationOf(stored: StoredCancellation): StoredCancellation {
  return {
    ...withDates(stored, ['requested_at']),
    phases: stored.phases.map((phase) => withDates(phase, ['requested_at', 'seen_at', 'ended_at'])),
  };
}

/** A flow and its phases whose instants are text, as JSON has them. */
export function fromJson(row: { flow: StoredFlow; phases: readonly StoredPhase[] }): { flow: StoredFlow; phases: StoredPhase[] } {
  return {
    flow: withDates(row.flow, ['run_at', 'expires_at', 'created_at', 'started_at', 'finished_at']),
    phases: row.phases.map((phase) => withDates(phase, ['started_at', 'finished_at'])),
  };
}

// Instants inside jsonb arrive as text.
function withDates<Row extends object>(row: Row, names: readonly (keyof Row)[]): Row {
  const copy = { ...row };
  for (const name of names) {
    const value = copy[name];
    if (typeof value === 'string') copy[name] = new Date(value) as Row[typeof name];
  }
  return copy;
}
