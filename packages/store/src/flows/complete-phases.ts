// A worker commits results: fence check, output, events, dependants now ready, and the flow's end, in one statement for many. A worker
// that says so goes on with one of the dependants at once: it is claimed in the same statement, without a way through the queue.
import { groupIdOf, type Dispatch } from '@millrace/shared';
import { eventsOfRun, type EventSubject, type LoggedEvent } from '../events/logged-event.ts';
import type { Queryable } from '../database.ts';
import { OUTPUTS_WITH_CLAIM_BYTES_MAX } from './claim-phases.ts';
import { DISPATCH_GRACE_MS } from './create-flows.ts';
import { idBounds } from './id-bounds.ts';
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
  /** The flows that have new events. */
  subjects: EventSubject[];
  /** Made anew each time it is asked for. */
  readonly events: LoggedEvent[];
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

// Another statement may have completed a needed phase while this one waited for the flow's lock: counted it is, but its result is not in this
// statement's snapshot, so the worker reads it afterwards.
const HAS_UNSEEN_NEED = `EXISTS (SELECT FROM millrace.phases n LEFT JOIN done d ON d.id = n.id
              WHERE n.id = ANY(r.needs) AND coalesce(d.status, n.status) NOT IN ('completed', 'skipped'))`;
const OUTPUTS = `CASE WHEN r.status <> 'running' OR cardinality(r.needs) = 1 THEN 'null'
    WHEN ${HAS_UNSEEN_NEED} THEN 'false'
    WHEN (SELECT sum(octet_length(n.output::text)) FROM millrace.phases n WHERE n.id = ANY(r.needs)) > ${OUTPUTS_WITH_CLAIM_BYTES_MAX} THEN 'false'
    ELSE (SELECT coalesce(json_object_agg(n.name, coalesce(d.output, n.output)) FILTER (WHERE coalesce(d.status, n.status) = 'completed'), '{}')
          FROM millrace.phases n LEFT JOIN done d ON d.id = n.id WHERE n.id = ANY(r.needs))::text END`;

// JSON is put together as text where it can be: names of phases and signals need no escapes, and functions that make JSON of anything cost more
// than all else that is done with a row.
const COMPLETE = `
WITH asked AS (
  SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::jsonb[], $4::uuid[], $5::text[], $7::boolean[], $8::boolean[]) AS a (id, fence, output, flow_id, worker, skipped, continues)
), locked AS (
  SELECT id, workspace, status, phases_open, phases_active, phases_failed, admitted, concurrency_key, parent_phase_id, ${holdOfFlow('flows')} AS hold,
         ${isQueuePaused('workspace')} AS queue_paused
  FROM millrace.flows WHERE id = ANY($4) AND id BETWEEN $10::uuid AND $11::uuid ORDER BY id FOR UPDATE
), done AS (
  UPDATE millrace.phases p
  SET status = CASE WHEN a.skipped THEN 'skipped' ELSE 'completed' END, output = CASE WHEN NOT a.skipped THEN a.output END,
      attempts = p.attempts + CASE WHEN a.skipped THEN 0 ELSE 1 END, due_at = NULL, awaits = NULL, finished_at = clock_timestamp()
  FROM asked a JOIN locked f ON f.id = a.flow_id
  WHERE p.id = a.id AND p.id = ANY($1) AND p.id BETWEEN $10::uuid AND $11::uuid AND p.fence = a.fence AND p.status = 'running' AND p.lease_owner = a.worker
  RETURNING p.id, p.flow_id, p.status, p.output, p.dependants, a.worker, a.continues,
            CASE WHEN a.skipped THEN '["phase.skipped","' || p.name || '",{"because":"when"}]'
                 ELSE '["phase.completed","' || p.name || '",{"attempt":' || p.attempts || '}]' END AS entry
), ends AS (
  SELECT flow_id, count(*)::int AS count, string_agg(entry, ',' ORDER BY id) AS entries, array_agg(id) AS ids FROM done GROUP BY flow_id
), met AS (
  SELECT dependant AS id, flow_id, count(*)::int AS count, min(done.id::text) FILTER (WHERE continues) AS by, min(worker) AS worker
  FROM done CROSS JOIN LATERAL unnest(done.dependants) AS dependant GROUP BY dependant, flow_id
), ranked AS (
  SELECT m.*, row_number() OVER (PARTITION BY m.flow_id ORDER BY m.id) AS rank, row_number() OVER (PARTITION BY m.by ORDER BY m.id) AS turn, l.hold, l.queue_paused
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
  WHERE p.id = m.id AND p.id = ANY(ARRAY(SELECT id FROM met)) AND p.id BETWEEN $10::uuid AND $11::uuid AND p.status = 'pending'
  RETURNING p.id, p.flow_id, p.name, p.status, p.signal, p.generation, p.fence, p.priority, p.rate_key, p.held, p.attempts, p.attempt_max, p.dispatched,
            p.needs, p.lease_owner, m.by
), ready AS (
  SELECT r.flow_id, count(*)::int AS count, (count(*) FILTER (WHERE r.status <> 'waiting'))::int AS active, (count(*) FILTER (WHERE r.status = 'running'))::int AS going_on,
         bool_or(r.held IN ('rate', 'limit')) AS is_held, bool_or(r.held = 'limit') AS is_limited,
         string_agg(CASE WHEN r.signal IS NULL THEN '["phase.queued","' || r.name || '",{}]' ELSE '["phase.waiting","' || r.name || '",{"signal":"' || r.signal || '"}]' END,
                    ',' ORDER BY r.id) AS entries,
         string_agg('["phase.started","' || r.name || '",{"attempt":' || (r.attempts + 1) || ',"worker":' || to_json(r.lease_owner) || '}]', ',' ORDER BY r.id)
           FILTER (WHERE r.status = 'running') AS starts,
         string_agg('["' || r.id || '","' || r.name || '",' || r.generation || ',' || r.priority || ',' || r.attempts || ',' || r.attempt_max || ',' || r.fence || ','
                    || CASE WHEN r.status = 'running' THEN '"' || r.by || '"' ELSE 'null' END || ',' || ${OUTPUTS} || ']', ',' ORDER BY r.id)
           FILTER (WHERE r.dispatched) AS sent
  FROM freed r WHERE r.status <> 'pending' GROUP BY r.flow_id
), counts AS (
  SELECT l.id, l.workspace, l.concurrency_key, l.admitted, l.phases_failed, l.parent_phase_id, l.phases_open - e.count AS open, l.phases_active - e.count + coalesce(r.active, 0) AS active,
         l.phases_open = e.count AND l.status NOT IN ('completed', 'failed', 'cancelled') AS ended, e.count + coalesce(r.count + r.going_on, 0) AS news,
         e.ids, e.entries AS ends, r.entries AS queued, r.starts, r.sent, coalesce(r.is_held, false) AS is_held, coalesce(r.is_limited, false) AS is_limited
  FROM locked l JOIN ends e ON e.flow_id = l.id LEFT JOIN ready r ON r.flow_id = l.id
), flows AS (
  UPDATE millrace.flows f
  SET phases_open = c.open, phases_active = c.active, seq_last = f.seq_last + c.news + CASE WHEN c.ended THEN 1 ELSE 0 END,
      status = CASE WHEN c.ended AND c.phases_failed > 0 THEN 'failed' WHEN c.ended THEN 'completed'
                    WHEN c.active = 0 AND f.status = 'running' THEN 'waiting' WHEN c.active > 0 AND f.status = 'waiting' THEN 'running' ELSE f.status END,
      due_at = CASE WHEN NOT c.ended THEN f.due_at END, pause = CASE WHEN NOT c.ended THEN f.pause END,
      finished_at = CASE WHEN c.ended THEN clock_timestamp() ELSE f.finished_at END
  FROM counts c WHERE f.id = c.id AND f.id = ANY($4) AND f.id BETWEEN $10::uuid AND $11::uuid
  RETURNING f.id, f.seq_last, c.workspace, c.ids, c.sent, c.ended AND c.parent_phase_id IS NOT NULL AS ended_child,
            (c.ended AND c.concurrency_key IS NOT NULL) OR c.is_held AS admission,
            concat_ws(',', c.ends, c.queued, c.starts, CASE WHEN c.ended THEN '["flow.' || f.status || '",null,{}]' END) AS entries
), admissions AS (
  INSERT INTO millrace.admissions (workspace, kind, key)
  SELECT DISTINCT workspace, 'limit', concurrency_key FROM counts WHERE concurrency_key IS NOT NULL AND ((ended AND admitted) OR is_limited)
  UNION SELECT DISTINCT c.workspace, 'rate', r.rate_key FROM freed r JOIN counts c ON c.id = r.flow_id WHERE r.held = 'rate' AND r.status <> 'pending'
  ORDER BY 1, 2, 3
  ON CONFLICT DO NOTHING
), logged AS (
  INSERT INTO millrace.event_log (subject_id, at, seq, workspace, entries)
  SELECT id, statement_timestamp(), seq_last, workspace, ('[' || entries || ']')::json FROM flows
)
SELECT id, workspace, seq_last AS seq, (SELECT to_json(statement_timestamp())#>>'{}') AS at, '[' || entries || ']' AS entries, sent, ended_child, admission,
       CASE WHEN (SELECT count(*) FROM done) < cardinality($1::uuid[]) THEN ids END AS ids
FROM flows`;

/** A flow of which something was completed. */
type CompletedRow = {
  id: string;
  workspace: string;
  seq: number;
  at: string;
  entries: string;
  /** JSON of the phases that were dispatched or are gone on with, without the outer brackets. */
  sent: string | null;
  ended_child: boolean;
  admission: boolean;
  /** What was completed; null when that is everything that was asked. */
  ids: string[] | null;
};
/** `by`: whose worker goes on with it. `outputs`: null when it needs one phase only; false when they are too large, or not all could be seen. */
type SentPhase = [
  id: string,
  name: string,
  generation: number,
  priority: number,
  attempts: number,
  attemptMax: number,
  fence: number,
  by: string | null,
  outputs: Record<string, unknown> | null | false,
];

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
      ...idBounds(completions.map((one) => one.id)),
    ],
  });
  const { rows } = result;
  const all = rows.every((row) => row.ids === null) && rows.length > 0;
  const done = new Set(rows.flatMap((row) => row.ids ?? []));
  const sent = rows.map((row) => (row.sent === null ? [] : (JSON.parse(`[${row.sent}]`) as SentPhase[])));
  const continued = new Map(rows.flatMap((row, index) => (sent[index] ?? []).flatMap((phase) => continuedOf(phase, row.at))));
  return {
    committed: completions.map((one) => all || done.has(one.id)),
    continued: completions.map((one) => continued.get(one.id) ?? null),
    dispatches: rows.flatMap((row, index) => (sent[index] ?? []).flatMap((phase) => dispatchOf(phase, row.workspace))),
    subjects: rows.map(({ id: subjectId, workspace }) => ({ subjectId, workspace })),
    get events() {
      return rows.flatMap((row) => eventsOfRun({ ...row, subjectId: row.id }));
    },
    endedChildren: rows.some((row) => row.ended_child),
    admissions: rows.some((row) => row.admission),
  };
}

function continuedOf(
  [id, name, generation, priority, attempts, attemptMax, fence, by, outputs]: SentPhase,
  at: string,
): [string, ContinuedPhase][] {
  if (by === null) return [];
  const phase = { id, name, generation, priority, fence, attempt: attempts + 1, attemptMax, startedAt: at };
  // What needs only the phase that was just completed is given its result by who has it already.
  return [[by, outputs === null ? phase : { ...phase, outputs: outputs === false ? null : outputs }]];
}

function dispatchOf([id, , generation, priority, attempts, attemptMax, , by]: SentPhase, workspace: string): Dispatch[] {
  return by === null ? [{ id, generation, workspace, priority, attempts: attemptMax - attempts, delayMs: 0 }] : [];
}
