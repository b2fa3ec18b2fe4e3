// A worker commits results: fence check, output, events, dependants now ready, and the flow's end, in one statement for many.
import { groupIdOf, type Dispatch } from '@millrace/shared';
import { LOGGED_EVENT_JSON, type LoggedEvent } from '../events/logged-event.ts';
import type { Queryable } from '../database.ts';
import { DISPATCH_GRACE_MS } from './create-flows.ts';

export type PhaseCompletion = { id: string; fence: number; worker: string; outputJson: string };

/** `committed` per completion in order: false means that the fence refused it and nothing of it was written. */
export type CompletionOutcome = { committed: boolean[]; dispatches: Dispatch[]; events: LoggedEvent[] };

/** Phases that one completion may send straight to Redis per flow; a wider fan-out is fed in by the dispatcher. */
const DIRECT_DISPATCH_MAX = 100;

// In the scope of the statement below: this dependant becomes ready, runs a handler, and is among the first of its flow.
const GOES_DIRECTLY = `(p.needs_open = m.count AND p.signal IS NULL AND $6 AND m.rank <= ${DIRECT_DISPATCH_MAX})`;

const COMPLETE = `
WITH asked AS (
  SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::jsonb[], $4::uuid[], $5::text[]) AS a (id, fence, output, flow_id, worker)
), locked AS (
  SELECT id, workspace, status, phases_open, phases_active, phases_failed FROM millrace.flows WHERE id = ANY($4) ORDER BY id FOR UPDATE
), done AS (
  UPDATE millrace.phases p
  SET status = 'completed', output = a.output, attempts = p.attempts + 1, due_at = NULL, finished_at = clock_timestamp()
  FROM asked a JOIN locked f ON f.id = a.flow_id
  WHERE p.id = a.id AND p.id = ANY($1) AND p.fence = a.fence AND p.status = 'running' AND p.lease_owner = a.worker
  RETURNING p.id, p.flow_id, p.name, p.attempts, p.dependants
), met AS (
  SELECT dependant AS id, count(*)::int AS count FROM done CROSS JOIN LATERAL unnest(done.dependants) AS dependant GROUP BY dependant
), ranked AS (
  SELECT id, count, row_number() OVER (PARTITION BY substr(id::text, 1, 32) ORDER BY id) AS rank FROM met
), freed AS (
  UPDATE millrace.phases p
  SET needs_open = p.needs_open - m.count,
      status = CASE WHEN p.needs_open <> m.count THEN p.status WHEN p.signal IS NULL THEN 'queued' ELSE 'waiting' END,
      dispatched = ${GOES_DIRECTLY},
      generation = p.generation + CASE WHEN ${GOES_DIRECTLY} THEN 1 ELSE 0 END,
      due_at = CASE WHEN ${GOES_DIRECTLY} THEN clock_timestamp() + interval '${DISPATCH_GRACE_MS} milliseconds'
                    WHEN p.needs_open = m.count AND p.signal IS NOT NULL THEN clock_timestamp() + p.wait_timeout_ms * interval '1 millisecond' END
  FROM ranked m
  WHERE p.id = m.id AND p.id = ANY(ARRAY(SELECT id FROM met)) AND p.status = 'pending'
  RETURNING p.id, p.flow_id, p.name, p.status, p.signal, p.generation, p.priority, p.attempt_max - p.attempts AS attempts, p.dispatched
), ready AS (
  SELECT * FROM freed WHERE status IN ('queued', 'waiting')
), counts AS (
  SELECT l.id, l.workspace, count(d.id)::int AS done, (SELECT count(*)::int FROM ready r WHERE r.flow_id = l.id) AS ready,
         l.phases_active - count(d.id)::int + (SELECT count(*)::int FROM ready r WHERE r.flow_id = l.id AND r.status = 'queued') AS active,
         l.phases_open = count(d.id) AND l.status NOT IN ('completed', 'failed', 'cancelled') AS ended, l.phases_failed
  FROM locked l JOIN done d ON d.flow_id = l.id GROUP BY l.id, l.workspace, l.phases_open, l.phases_active, l.phases_failed, l.status
), flows AS (
  UPDATE millrace.flows f
  SET phases_open = f.phases_open - c.done, phases_active = c.active, seq_last = f.seq_last + c.done + c.ready + CASE WHEN c.ended THEN 1 ELSE 0 END,
      status = CASE WHEN c.ended AND c.phases_failed > 0 THEN 'failed' WHEN c.ended THEN 'completed'
                    WHEN c.active = 0 AND f.status = 'running' THEN 'waiting' WHEN c.active > 0 AND f.status = 'waiting' THEN 'running' ELSE f.status END,
      finished_at = CASE WHEN c.ended THEN clock_timestamp() ELSE f.finished_at END
  FROM counts c WHERE f.id = c.id AND f.id = ANY($4)
  RETURNING f.id, f.seq_last - c.done - c.ready - CASE WHEN c.ended THEN 1 ELSE 0 END AS seq_before, c.workspace, c.ended, f.status
), news AS (
  SELECT flow_id, 1 AS rank, id::text AS position, 'phase.completed' AS type, name AS phase, jsonb_build_object('attempt', attempts) AS data FROM done
  UNION ALL SELECT flow_id, 2, id::text, 'phase.' || status, name, CASE WHEN signal IS NULL THEN '{}' ELSE jsonb_build_object('signal', signal) END FROM ready
  UNION ALL SELECT id, 3, '', 'flow.' || status, NULL, '{}' FROM flows WHERE ended
), logged AS (
  INSERT INTO millrace.events (subject_id, seq, workspace, type, phase, at, data)
  SELECT n.flow_id, f.seq_before + row_number() OVER (PARTITION BY n.flow_id ORDER BY n.rank, n.position), f.workspace, n.type, n.phase, clock_timestamp(), n.data
  FROM news n JOIN flows f ON f.id = n.flow_id
  RETURNING subject_id, seq, workspace, type, phase, at, data
)
SELECT (SELECT coalesce(json_agg(id), '[]') FROM done) AS done,
       (SELECT coalesce(json_agg(json_build_object('id', id, 'generation', generation, 'priority', priority, 'attempts', attempts, 'delayMs', 0)), '[]') FROM ready WHERE dispatched) AS dispatches,
       (SELECT coalesce(json_agg(${LOGGED_EVENT_JSON} ORDER BY subject_id, seq), '[]') FROM logged) AS events`;

/**
 * Completes phases. `dispatch` says whether the phases that become ready may go to Redis at once.
 * Runs as one statement, so it may be used inside a handler's own transaction as well as on the pool.
 */
export async function completePhases(
  on: Queryable,
  completions: readonly PhaseCompletion[],
  options: { dispatch: boolean },
): Promise<CompletionOutcome> {
  const result = await on.query<{ done: string[]; dispatches: Dispatch[]; events: LoggedEvent[] }>({
    name: 'complete-phases',
    text: COMPLETE,
    values: [
      completions.map((one) => one.id),
      completions.map((one) => one.fence),
      completions.map((one) => one.outputJson),
      completions.map((one) => groupIdOf(one.id)),
      completions.map((one) => one.worker),
      options.dispatch,
    ],
  });
  const row = result.rows[0];
  const done = new Set(row?.done);
  return { committed: completions.map((one) => done.has(one.id)), dispatches: row?.dispatches ?? [], events: row?.events ?? [] };
}
