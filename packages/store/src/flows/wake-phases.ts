// Wakes suspended phases: what they waited for has come, or their time is over. They are queued again and run from their start.
import { groupIdOf, type Dispatch } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import { LOGGED_EVENT_JSON, type LoggedEvent } from '../events/logged-event.ts';
import { DISPATCH_GRACE_MS } from './create-flows.ts';
import { isQueuePaused } from './readiness.ts';

/** `onlyDue`: those whose time is not over stay as they are. */
export type Wake = { ids: readonly string[]; reason: 'woken' | 'time'; onlyDue?: boolean };

export type WakeOutcome = { dispatches: Dispatch[]; events: LoggedEvent[] };

const WAKE = `
WITH locked AS (
  SELECT id, workspace, status, started_at, phases_active, ${isQueuePaused('workspace')} AS queue_paused FROM millrace.flows WHERE id = ANY($2) ORDER BY id FOR UPDATE
), woken AS (
  UPDATE millrace.phases p
  SET status = 'queued', generation = p.generation + 1, awaits = NULL, signal_at = NULL, held = CASE WHEN l.status = 'paused' THEN 'pause' END,
      dispatched = l.status <> 'paused' AND NOT l.queue_paused,
      due_at = CASE WHEN l.status <> 'paused' AND NOT l.queue_paused THEN now() + interval '${DISPATCH_GRACE_MS} milliseconds' END
  FROM locked l
  WHERE p.id = ANY($1) AND l.id = p.flow_id AND p.status = 'waiting' AND p.awaits->>'kind' IN ('time', 'signal', 'children') AND (NOT $4 OR p.due_at <= now())
  RETURNING p.id, p.flow_id, p.workspace, p.name, p.generation, p.priority, greatest(1, p.attempt_max - p.attempts) AS attempts, p.dispatched
), flows AS (
  UPDATE millrace.flows f
  SET seq_last = f.seq_last + c.count, phases_active = f.phases_active + c.count,
      status = CASE WHEN f.status = 'waiting' THEN 'running' ELSE f.status END
  FROM (SELECT flow_id, count(*)::int AS count FROM woken GROUP BY flow_id) c
  WHERE f.id = c.flow_id AND f.id = ANY($2)
  RETURNING f.id, f.seq_last - c.count AS seq_before
), logged AS (
  INSERT INTO millrace.events (subject_id, seq, workspace, type, phase, at, data)
  SELECT w.flow_id, f.seq_before + row_number() OVER (PARTITION BY w.flow_id ORDER BY w.id), w.workspace, 'phase.queued', w.name, clock_timestamp(), jsonb_build_object('reason', $3::text)
  FROM woken w JOIN flows f ON f.id = w.flow_id
  RETURNING subject_id, seq, workspace, type, phase, at, data
)
SELECT (SELECT coalesce(json_agg(json_build_object('id', id, 'generation', generation, 'workspace', workspace, 'priority', priority, 'attempts', attempts, 'delayMs', 0)), '[]')
        FROM woken WHERE dispatched) AS dispatches,
       (SELECT coalesce(json_agg(${LOGGED_EVENT_JSON} ORDER BY subject_id, seq), '[]') FROM logged) AS events`;

/** Wakes those of the phases that are suspended. Runs as one statement, on the hot pool or inside a transaction that has locked their flow. */
export async function wakePhases(on: Queryable, { ids, reason, onlyDue = false }: Wake): Promise<WakeOutcome> {
  if (ids.length === 0) return { dispatches: [], events: [] };
  const result = await on.query<WakeOutcome>({
    name: 'wake-phases',
    text: WAKE,
    values: [ids, ids.map(groupIdOf), reason, onlyDue],
  });
  return result.rows[0] ?? { dispatches: [], events: [] };
}
