// A worker commits results: fence check, output, events, dependants now ready, and the flow's end, in one statement for many. A worker
// that says so goes on with one of the dependants at once: it is claimed in the same statement, without a way through the queue.
import { groupIdOf, type Dispatch } from '@millrace/shared';
import type { EventSubject, LoggedEvent } from '../events/logged-event.ts';
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

const COMPLETE = `
WITH asked AS (
  SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::jsonb[], $4::uuid[], $5::text[], $7::boolean[], $8::boolean[]) AS a (id, fence, output, flow_id, worker, skipped, continues)
), locked AS (
  SELECT id, workspace, status, phases_open, phases_active, phases_failed, admitted, concurrency_key, parent_phase_id FROM millrace.flows WHERE id = ANY($4) AND id BETWEEN $10::uuid AND $11::uuid ORDER BY id FOR UPDATE
), done AS (
  UPDATE millrace.phases p
  SET status = CASE WHEN a.skipped THEN 'skipped' ELSE 'completed' END, output = CASE WHEN NOT a.skipped THEN a.output END,
      attempts = p.attempts + CASE WHEN a.skipped THEN 0 ELSE 1 END, due_at = NULL, awaits = NULL, finished_at = clock_timestamp()
  FROM asked a JOIN locked f ON f.id = a.flow_id
  WHERE p.id = a.id AND p.id = ANY($1) AND p.id BETWEEN $10::uuid AND $11::uuid AND p.fence = a.fence AND p.status = 'running' AND p.lease_owner = a.worker
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
  WHERE p.id = m.id AND p.id = ANY(ARRAY(SELECT id FROM met)) AND p.id BETWEEN $10::uuid AND $11::uuid AND p.status = 'pending'
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
      due_at = CASE WHEN NOT c.ended THEN f.due_at END, pause = CASE WHEN NOT c.ended THEN f.pause END,
      finished_at = CASE WHEN c.ended THEN clock_timestamp() ELSE f.finished_at END
  FROM counts c WHERE f.id = c.id AND f.id = ANY($4) AND f.id BETWEEN $10::uuid AND $11::uuid
  RETURNING f.id, f.seq_last - c.done - c.ready - c.going_on - CASE WHEN c.ended THEN 1 ELSE 0 END AS seq_before, c.workspace, c.ended, f.status
), admissions AS (
  INSERT INTO millrace.admissions (workspace, kind, key)
  SELECT DISTINCT workspace, 'limit', concurrency_key FROM counts WHERE ended AND admitted AND concurrency_key IS NOT NULL
  UNION SELECT DISTINCT workspace, 'rate', rate_key FROM ready WHERE held = 'rate'
  UNION SELECT DISTINCT c.workspace, 'limit', c.concurrency_key FROM counts c JOIN ready r ON r.flow_id = c.id WHERE r.held = 'limit'
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
  SELECT n.flow_id, f.seq_before + row_number() OVER (PARTITION BY n.flow_id ORDER BY n.rank, n.position), f.workspace, n.type, n.phase, statement_timestamp(), n.data
  FROM news n JOIN flows f ON f.id = n.flow_id
)
SELECT to_json(statement_timestamp()) AS at,
       (SELECT coalesce(json_agg(json_build_array(id, name, status, attempts)), '[]') FROM done) AS done,
       (SELECT coalesce(json_agg(json_build_array(id, workspace, seq_before, CASE WHEN ended THEN status END)), '[]') FROM flows) AS flows,
       (SELECT coalesce(json_agg(json_build_array(r.id, r.name, r.status, r.signal, r.generation, r.priority, r.attempts, r.attempt_max, r.dispatched, r.fence, r.lease_owner, r.by,
          CASE WHEN r.status <> 'running' OR cardinality(r.needs) = 1 THEN 'null'
            WHEN ${HAS_UNSEEN_NEED} THEN 'false'
            WHEN (SELECT sum(octet_length(n.output::text)) FROM millrace.phases n WHERE n.id = ANY(r.needs)) > ${OUTPUTS_WITH_CLAIM_BYTES_MAX} THEN 'false'
            ELSE (SELECT coalesce(json_object_agg(n.name, coalesce(d.output, n.output)) FILTER (WHERE coalesce(d.status, n.status) = 'completed'), '{}')
                  FROM millrace.phases n LEFT JOIN done d ON d.id = n.id WHERE n.id = ANY(r.needs)) END)), '[]') FROM ready r) AS ready,
       EXISTS (SELECT FROM counts WHERE ended AND parent_phase_id IS NOT NULL) AS ended_children,
       EXISTS (SELECT FROM counts WHERE ended AND concurrency_key IS NOT NULL) OR EXISTS (SELECT FROM ready WHERE held IN ('rate', 'limit')) AS admissions`;

type CompletedRow = { at: string; done: DoneRow[]; flows: FlowRow[]; ready: ReadyRow[]; ended_children: boolean; admissions: boolean };
type DoneRow = [id: string, name: string, status: 'completed' | 'skipped', attempts: number];
/** `end`: the status the flow ended with. */
type FlowRow = [id: string, workspace: string, seqBefore: number, end: string | null];
/** `outputs`: null when it needs one phase only; false when they are too large, or not all could be seen. */
type ReadyRow = [
  id: string,
  name: string,
  status: 'queued' | 'waiting' | 'running',
  signal: string | null,
  generation: number,
  priority: number,
  attempts: number,
  attemptMax: number,
  dispatched: boolean,
  fence: number,
  worker: string | null,
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
  const row = result.rows[0];
  if (row === undefined) throw new Error('a statement that always answers one row answered none');
  const done = new Set(row.done.map(([id]) => id));
  const workspaces = new Map(row.flows.map(([id, workspace]) => [id, workspace]));
  const continued = new Map(row.ready.flatMap((ready) => continuedOf(ready, row.at)));
  return {
    committed: completions.map((one) => done.has(one.id)),
    continued: completions.map((one) => continued.get(one.id) ?? null),
    dispatches: row.ready.flatMap((ready) => dispatchOf(ready, workspaces)),
    subjects: row.flows.map(([subjectId, workspace]) => ({ subjectId, workspace })),
    get events() {
      return eventsOf(row);
    },
    endedChildren: row.ended_children,
    admissions: row.admissions,
  };
}

function continuedOf(ready: ReadyRow, at: string): [string, ContinuedPhase][] {
  const [id, name, status, , generation, priority, attempts, attemptMax, , fence, , by, outputs] = ready;
  if (status !== 'running' || by === null) return [];
  const phase = { id, name, generation, priority, fence, attempt: attempts + 1, attemptMax, startedAt: at };
  // What needs only the phase that was just completed is given its result by who has it already.
  return [[by, outputs === null ? phase : { ...phase, outputs: outputs === false ? null : outputs }]];
}

function dispatchOf(ready: ReadyRow, workspaces: ReadonlyMap<string, string>): Dispatch[] {
  const [id, , status, , generation, priority, attempts, attemptMax, dispatched] = ready;
  if (status !== 'queued' || !dispatched) return [];
  const workspace = workspaces.get(groupIdOf(id)) ?? '';
  return [{ id, generation, workspace, priority, attempts: attemptMax - attempts, delayMs: 0 }];
}

// The same events in the same order as the statement has written them, made here because building them as JSON twice would cost the
// server more than all else that it answers.
function eventsOf({ at, done, flows, ready }: CompletedRow): LoggedEvent[] {
  const byFlow = new Map(flows.map(([id]) => [id, { done: [] as DoneRow[], ready: [] as ReadyRow[] }]));
  for (const row of done) byFlow.get(groupIdOf(row[0]))?.done.push(row);
  for (const row of ready) byFlow.get(groupIdOf(row[0]))?.ready.push(row);
  return flows.flatMap(([subjectId, workspace, seqBefore, end]) => {
    const own = byFlow.get(subjectId);
    const [doneRows, readyRows] = [inOrder(own?.done ?? []), inOrder(own?.ready ?? [])];
    const news = [...doneRows.map(doneNews), ...readyRows.map(readyNews), ...readyRows.flatMap(startedNews)];
    if (end !== null) news.push({ type: `flow.${end}`, phase: null, data: {} });
    return news.map((one, index) => ({ subjectId, seq: seqBefore + index + 1, workspace, at, ...one }));
  });
}

type News = Pick<LoggedEvent, 'type' | 'phase' | 'data'>;

function inOrder<Row extends DoneRow | ReadyRow>(rows: Row[]): Row[] {
  return rows.length < 2 ? rows : rows.sort((one, other) => (one[0] < other[0] ? -1 : 1));
}

function doneNews([, phase, status, attempts]: DoneRow): News {
  return { type: `phase.${status}`, phase, data: status === 'skipped' ? { because: 'when' } : { attempt: attempts } };
}

function readyNews([, phase, status, signal]: ReadyRow): News {
  return { type: status === 'waiting' ? 'phase.waiting' : 'phase.queued', phase, data: signal === null ? {} : { signal } };
}

function startedNews([, phase, status, , , , attempts, , , , worker]: ReadyRow): News[] {
  return status === 'running' ? [{ type: 'phase.started', phase, data: { attempt: attempts + 1, worker } }] : [];
}
