// A worker commits results: fence check, output, events, dependants now ready, and the flow's end, in one statement for many. A worker
// that says so goes on with one of the dependants at once: it is claimed in the same statement, without a way through the queue.
import { groupIdOf, type Dispatch } from '@millrace/shared';
import { LOGGED_EVENT_JSON, type LoggedEvent } from '../events/logged-event.ts';
import type { Queryable } from '../database.ts';
import { OUTPUTS_WITH_CLAIM_BYTES_MAX } from './claim-phases.ts';
import { DISPATCH_GRACE_MS } from './create-flows.ts';
import { holdOfFlow, holdOfPhase, isQueuePaused } from './readiness.ts';

export type PhaseCompletion = {
  id: string;
  fence: number;
  worker: string;
  outputJson: string;
  /** Its own condition said that it need not run: it ends as skipped, and what needs it goes on. */
  skipped?: boolean;
  /** The worker goes on with one phase that this completion makes ready. */
  continues?: boolean;
};

/** A dependant that the completing worker has claimed. Its flow is the same, and so are input and version. */
export type ContinuedPhase = {
  id: string;
  name: string;
  generation: number;
  priority: number;
  fence: number;
  attempt: number;
  attemptMax: number;
  startedAt: string;
  /** Results of the phases it needs by name; null when they are too large, see readOutputs. Absent: it needs nothing but the completed one. */
  outputs?: Record<string, unknown> | null;
};

/** Both lists have one entry per completion in order. `committed` false: the fence refused it and nothing of it was written. */
export type CompletionOutcome = {
  committed: boolean[];
  continued: (ContinuedPhase | null)[];
  dispatches: Dispatch[];
  events: LoggedEvent[];
  /** A child flow has ended: its parent may have to be told. */
  endedChildren: boolean;
  /** A key is to be looked at for who comes next. */
  admissions: boolean;
};

/** Phases that one completion may send straight to Redis per flow; a wider fan-out is fed in by the dispatcher. */
const DIRECT_DISPATCH_MAX = 100;

// In the scope of the statement below, of a dependant `p` and what was met of its needs `m`.
const READY = '(p.needs_open = m.count)';
const RUNS = `(${READY} AND p.signal IS NULL)`;
const FREE = `(${RUNS} AND m.hold IS NULL AND NOT m.queue_paused AND p.rate_key IS NULL)`;
const GOES_ON = `(${FREE} AND m.by IS NOT NULL AND m.turn = 1)`;
const GOES_DIRECTLY = `(${FREE} AND NOT (m.by IS NOT NULL AND m.turn = 1) AND $6 AND m.rank <= ${DIRECT_DISPATCH_MAX})`;

const COMPLETE = `
WITH asked AS (
  SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::jsonb[], $4::uuid[], $5::text[], $7::boolean[], $8::boolean[]) AS a (id, fence, output, flow_id, worker, skipped, continues)
), locked AS (
  SELECT id, workspace, status, phases_open, phases_active, phases_failed, admitted, concurrency_key, parent_phase_id FROM millrace.flows WHERE id = ANY($4) ORDER BY id FOR UPDATE
), done AS (
  UPDATE millrace.phases p
  SET status = CASE WHEN a.skipped THEN 'skipped' ELSE 'completed' END, output = CASE WHEN NOT a.skipped THEN a.output END,
      attempts = p.attempts + CASE WHEN a.skipped THEN 0 ELSE 1 END, due_at = NULL, awaits = NULL, finished_at = clock_timestamp()
  FROM asked a JOIN locked f ON f.id = a.flow_id
  WHERE p.id = a.id AND p.id = ANY($1) AND p.fence = a.fence AND p.status = 'running' AND p.lease_owner = a.worker
  RETURNING p.id, p.flow_id, p.name, p.status, p.output, p.attempts, p.dependants, a.worker, a.continues
), met AS (
  SELECT dependant AS id, flow_id, count(*)::int AS count, min(done.id::text) FILTER (WHERE continues) AS by, min(worker) AS worker
  FROM done CROSS JOIN LATERAL unnest(done.dependants) AS dependant GROUP BY dependant, flow_id
), ranked AS (
  SELECT m.*, row_number() OVER (PARTITION BY m.flow_id ORDER BY m.id) AS rank, row_number() OVER (PARTITION BY m.by ORDER BY m.id) AS turn,
         ${holdOfFlow('l')} AS hold, ${isQueuePaused('l.workspace')} AS queue_paused
  FROM met m JOIN locked l ON l.id = m.flow_id
), freed AS (
  UPDATE millrace.phases p
  SET needs_open = p.needs_open - m.count,
      status = CASE WHEN NOT ${READY} THEN p.status WHEN p.signal IS NOT NULL THEN 'waiting' WHEN ${GOES_ON} THEN 'running' ELSE 'queued' END,
      held = CASE WHEN ${RUNS} THEN ${holdOfPhase('m.hold', 'p')} END,
      dispatched = ${GOES_DIRECTLY} OR ${GOES_ON},
      generation = p.generation + CASE WHEN ${GOES_DIRECTLY} OR ${GOES_ON} THEN 1 ELSE 0 END,
      fence = p.fence + CASE WHEN ${GOES_ON} THEN 1 ELSE 0 END,
      lease_owner = CASE WHEN ${GOES_ON} THEN m.worker END,
      started_at = CASE WHEN ${GOES_ON} THEN clock_timestamp() END,
      due_at = CASE WHEN ${GOES_ON} THEN clock_timestamp() + $9::int * interval '1 millisecond'
                    WHEN ${GOES_DIRECTLY} THEN clock_timestamp() + interval '${DISPATCH_GRACE_MS} milliseconds'
                    WHEN ${READY} AND p.signal IS NOT NULL THEN clock_timestamp() + p.wait_timeout_ms * interval '1 millisecond' END
  FROM ranked m
  WHERE p.id = m.id AND p.id = ANY(ARRAY(SELECT id FROM met)) AND p.status = 'pending'
  RETURNING p.id, p.flow_id, p.workspace, p.name, p.status, p.signal, p.generation, p.fence, p.priority, p.rate_key, p.held, p.attempts, p.attempt_max, p.dispatched,
            p.needs, p.started_at, p.lease_owner, m.by
), ready AS (
  SELECT * FROM freed WHERE status <> 'pending'
), counts AS (
  SELECT l.id, l.workspace, l.concurrency_key, l.admitted, count(d.id)::int AS done, coalesce(r.ready, 0) AS ready, coalesce(r.going_on, 0) AS going_on,
         l.phases_active - count(d.id)::int + coalesce(r.active, 0) AS active,
         l.phases_open = count(d.id) AND l.status NOT IN ('completed', 'failed', 'cancelled') AS ended, l.phases_failed, l.parent_phase_id
  FROM locked l JOIN done d ON d.flow_id = l.id
  LEFT JOIN (SELECT flow_id, count(*)::int AS ready, (count(*) FILTER (WHERE status = 'running'))::int AS going_on, (count(*) FILTER (WHERE status <> 'waiting'))::int AS active
             FROM ready GROUP BY flow_id) r ON r.flow_id = l.id
  GROUP BY l.id, l.workspace, l.concurrency_key, l.admitted, l.phases_open, l.phases_active, l.phases_failed, l.parent_phase_id, l.status, r.ready, r.going_on, r.active
), flows AS (
  UPDATE millrace.flows f
  SET phases_open = f.phases_open - c.done, phases_active = c.active,
      seq_last = f.seq_last + c.done + c.ready + c.going_on + CASE WHEN c.ended THEN 1 ELSE 0 END,
      status = CASE WHEN c.ended AND c.phases_failed > 0 THEN 'failed' WHEN c.ended THEN 'completed'
                    WHEN c.active = 0 AND f.status = 'running' THEN 'waiting' WHEN c.active > 0 AND f.status = 'waiting' THEN 'running' ELSE f.status END,
      due_at = CASE WHEN NOT c.ended THEN f.due_at END,
      finished_at = CASE WHEN c.ended THEN clock_timestamp() ELSE f.finished_at END
  FROM counts c WHERE f.id = c.id AND f.id = ANY($4)
  RETURNING f.id, f.seq_last - c.done - c.ready - c.going_on - CASE WHEN c.ended THEN 1 ELSE 0 END AS seq_before, c.workspace, c.ended, f.status
), admissions AS (
  INSERT INTO millrace.admissions (workspace, kind, key)
  SELECT DISTINCT workspace, 'limit', concurrency_key FROM counts WHERE ended AND admitted AND concurrency_key IS NOT NULL
  UNION SELECT DISTINCT workspace, 'rate', rate_key FROM ready WHERE held = 'rate'
  ORDER BY 1, 2, 3
  ON CONFLICT DO NOTHING
), news AS (
  SELECT flow_id, 1 AS rank, id::text AS position, 'phase.' || status AS type, name AS phase,
         CASE WHEN status = 'skipped' THEN '{"because":"when"}'::jsonb ELSE jsonb_build_object('attempt', attempts) END AS data FROM done
  UNION ALL SELECT flow_id, 2, id::text, CASE WHEN status = 'waiting' THEN 'phase.waiting' ELSE 'phase.queued' END, name,
                   CASE WHEN signal IS NULL THEN '{}' ELSE jsonb_build_object('signal', signal) END FROM ready
  UNION ALL SELECT flow_id, 3, id::text, 'phase.started', name, jsonb_build_object('attempt', attempts + 1, 'worker', lease_owner) FROM ready WHERE status = 'running'
  UNION ALL SELECT id, 4, '', 'flow.' || status, NULL, '{}' FROM flows WHERE ended
), logged AS (
  INSERT INTO millrace.events (subject_id, seq, workspace, type, phase, at, data)
  SELECT n.flow_id, f.seq_before + row_number() OVER (PARTITION BY n.flow_id ORDER BY n.rank, n.position), f.workspace, n.type, n.phase, clock_timestamp(), n.data
  FROM news n JOIN flows f ON f.id = n.flow_id
  RETURNING subject_id, seq, workspace, type, phase, at, data
)
SELECT (SELECT coalesce(json_agg(id), '[]') FROM done) AS done,
       (SELECT coalesce(json_agg(json_build_object('by', r.by, 'phase', json_build_object(
          'id', r.id, 'name', r.name, 'generation', r.generation, 'priority', r.priority, 'fence', r.fence, 'attempt', r.attempts + 1, 'attemptMax', r.attempt_max, 'startedAt', r.started_at,
          'needs', cardinality(r.needs),
          'outputs', CASE WHEN cardinality(r.needs) = 1 THEN NULL
            WHEN (SELECT sum(octet_length(n.output::text)) FROM millrace.phases n WHERE n.id = ANY(r.needs)) > ${OUTPUTS_WITH_CLAIM_BYTES_MAX} THEN NULL
            ELSE (SELECT coalesce(json_object_agg(n.name, coalesce(d.output, n.output)) FILTER (WHERE coalesce(d.status, n.status) = 'completed'), '{}')
                  FROM millrace.phases n LEFT JOIN done d ON d.id = n.id WHERE n.id = ANY(r.needs)) END))), '[]')
        FROM ready r WHERE r.status = 'running') AS continued,
       (SELECT coalesce(json_agg(json_build_object('id', id, 'generation', generation, 'workspace', workspace, 'priority', priority, 'attempts', attempt_max - attempts, 'delayMs', 0)), '[]')
        FROM ready WHERE dispatched AND status = 'queued') AS dispatches,
       EXISTS (SELECT FROM counts WHERE ended AND parent_phase_id IS NOT NULL) AS ended_children,
       EXISTS (SELECT FROM counts WHERE ended AND concurrency_key IS NOT NULL) OR EXISTS (SELECT FROM ready WHERE held = 'rate') AS admissions,
       (SELECT coalesce(json_agg(${LOGGED_EVENT_JSON} ORDER BY subject_id, seq), '[]') FROM logged) AS events`;

type CompletedRow = {
  done: string[];
  continued: { by: string; phase: ContinuedPhase & { needs: number } }[];
  dispatches: Dispatch[];
  events: LoggedEvent[];
  ended_children: boolean;
  admissions: boolean;
};

/**
 * Completes phases. `dispatch` says whether the phases that become ready may go to Redis at once; `leaseMs` is for those that are gone on with.
 * Runs as one statement, so it may be used inside a handler's own transaction as well as on the pool.
 */
export async function completePhases(
  on: Queryable,
  completions: readonly PhaseCompletion[],
  options: { dispatch: boolean; leaseMs?: number },
): Promise<CompletionOutcome> {
  const { leaseMs } = options;
  const result = await on.query<CompletedRow>({
    name: 'complete-phases',
    text: COMPLETE,
    values: [
      completions.map((one) => one.id),
      completions.map((one) => one.fence),
      completions.map((one) => one.outputJson),
      completions.map((one) => groupIdOf(one.id)),
      completions.map((one) => one.worker),
      options.dispatch,
      completions.map((one) => one.skipped === true),
      completions.map((one) => one.continues === true && leaseMs !== undefined),
      leaseMs ?? 0,
    ],
  });
  const row = result.rows[0];
  const done = new Set(row?.done);
  const continued = new Map((row?.continued ?? []).map(({ by, phase }) => [by, withoutOwn(phase)]));
  return {
    committed: completions.map((one) => done.has(one.id)),
    continued: completions.map((one) => continued.get(one.id) ?? null),
    dispatches: row?.dispatches ?? [],
    events: row?.events ?? [],
    endedChildren: row?.ended_children ?? false,
    admissions: row?.admissions ?? false,
  };
}

// What needs only the phase that was just completed is given its result by who has it already.
function withoutOwn({ needs, outputs, ...phase }: ContinuedPhase & { needs: number }): ContinuedPhase {
  return needs === 1 || outputs === undefined ? phase : { ...phase, outputs };
}
