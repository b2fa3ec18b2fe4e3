// Phases that wait without a worker: a handler that sleeps, waits for a signal or for child flows gives its place back, and is queued
// again when what it waits for has come. It then runs from its start and finds the results of its steps. One statement for many.
import { groupIdOf, type Dispatch } from '@millrace/shared';
import type pg from 'pg';
import { inTransaction, type Queryable } from '../database.ts';
import { LOGGED_EVENT_JSON, type LoggedEvent } from '../events/logged-event.ts';
import { childrenHaveEnded } from './children.ts';
import { DISPATCH_GRACE_MS } from './create-flows.ts';
import { isQueuePaused } from './readiness.ts';

/** What a suspended phase waits for; the first of it that comes wakes it. `kind` says which of it is most worth telling. */
export type Awaits = {
  kind: 'time' | 'signal' | 'children';
  /** RFC 3339; null: no time wakes it. */
  until: string | null;
  /** Signals, any of which wakes it. */
  names: readonly string[];
  /** Whether the end of its child flows wakes it: of all, or the failure of one whose failure is its own. */
  children: boolean;
  /** Failures of children that its handler has been told of: those alone wake it no more. */
  failuresSeen: number;
};

export type PhaseSuspension = { id: string; fence: number; worker: string; awaits: Awaits };

/** `suspended` per entry in order: false when the fence refused it. */
export type SuspensionOutcome = { suspended: boolean[]; dispatches: Dispatch[]; events: LoggedEvent[] };

// What came while the handler was still on its way here must not be missed. Everything that wakes a phase locks its flow first, so this is
// asked by a statement that begins when the flows are locked: its snapshot has all that was committed before.
const HAS_COME = `(coalesce((a.awaits->>'until')::timestamptz <= now(), false)
  OR EXISTS (SELECT FROM millrace.signals s WHERE s.flow_id = a.flow_id AND s.run = l.run AND s.name = ANY(ARRAY(SELECT jsonb_array_elements_text(a.awaits->'names'))))
  OR ((a.awaits->>'children')::boolean AND ${childrenHaveEnded({ phaseId: 'a.id', run: 'l.run', awaits: 'a.awaits' })}))`;

const SUSPEND = `
WITH asked AS (
  SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::jsonb[]) AS a (id, fence, flow_id, worker, awaits)
), locked AS (
  SELECT id, workspace, run, status, phases_active, ${isQueuePaused('workspace')} AS queue_paused FROM millrace.flows WHERE id = ANY($3) ORDER BY id FOR UPDATE
), held AS (
  SELECT a.*, ${HAS_COME} AS has_come, l.status = 'paused' AS paused, l.status <> 'paused' AND NOT l.queue_paused AS free FROM asked a JOIN locked l ON l.id = a.flow_id
), changed AS (
  UPDATE millrace.phases p
  SET status = CASE WHEN h.has_come THEN 'queued' ELSE 'waiting' END, lease_owner = NULL, interruptions = 0, interrupted_at = NULL,
      generation = p.generation + 1, dispatched = h.has_come AND h.free, held = CASE WHEN h.has_come AND h.paused THEN 'pause' END,
      awaits = CASE WHEN NOT h.has_come THEN h.awaits END,
      due_at = CASE WHEN NOT h.has_come THEN (h.awaits->>'until')::timestamptz WHEN h.free THEN now() + interval '${DISPATCH_GRACE_MS} milliseconds' END
  FROM held h
  WHERE p.id = h.id AND p.id = ANY($1) AND p.fence = h.fence AND p.status = 'running' AND p.lease_owner = h.worker
  RETURNING p.id, p.flow_id, p.workspace, p.name, p.status, p.generation, p.priority, greatest(1, p.attempt_max - p.attempts) AS attempts, p.dispatched, h.awaits
), flows AS (
  UPDATE millrace.flows f
  SET seq_last = f.seq_last + c.count, phases_active = f.phases_active - c.waiting,
      status = CASE WHEN f.phases_active = c.waiting AND f.status = 'running' THEN 'waiting' ELSE f.status END
  FROM (SELECT flow_id, count(*)::int AS count, (count(*) FILTER (WHERE status = 'waiting'))::int AS waiting FROM changed GROUP BY flow_id) c
  WHERE f.id = c.flow_id AND f.id = ANY($3)
  RETURNING f.id, f.seq_last - c.count AS seq_before
), logged AS (
  INSERT INTO millrace.events (subject_id, seq, workspace, type, phase, at, data)
  SELECT c.flow_id, f.seq_before + row_number() OVER (PARTITION BY c.flow_id ORDER BY c.id), c.workspace, 'phase.' || c.status, c.name, clock_timestamp(),
         CASE WHEN c.status = 'waiting' THEN jsonb_strip_nulls(jsonb_build_object('for', c.awaits->'kind', 'signals', nullif(c.awaits->'names', '[]'), 'until', c.awaits->'until'))
              ELSE jsonb_build_object('reason', 'woken') END
  FROM changed c JOIN flows f ON f.id = c.flow_id
  RETURNING subject_id, seq, workspace, type, phase, at, data
)
SELECT (SELECT coalesce(json_agg(id), '[]') FROM changed) AS changed,
       (SELECT coalesce(json_agg(json_build_object('id', id, 'generation', generation, 'workspace', workspace, 'priority', priority, 'attempts', attempts, 'delayMs', 0)), '[]')
        FROM changed WHERE dispatched) AS dispatches,
       (SELECT coalesce(json_agg(${LOGGED_EVENT_JSON} ORDER BY subject_id, seq), '[]') FROM logged) AS events`;

type ChangedRow = { changed: string[]; dispatches: Dispatch[]; events: LoggedEvent[] };

/** Takes phases from their worker until what they wait for has come; those for which it has come already are queued again at once. */
export async function suspendPhases(hot: pg.Pool, suspensions: readonly PhaseSuspension[]): Promise<SuspensionOutcome> {
  const row = await inTransaction(hot, async (client) => {
    await client.query({
      name: 'lock-flows',
      text: 'SELECT FROM millrace.flows WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE',
      values: [suspensions.map((one) => groupIdOf(one.id))],
    });
    return suspendLocked(client, suspensions);
  });
  const changed = new Set(row?.changed);
  return { suspended: suspensions.map((one) => changed.has(one.id)), dispatches: row?.dispatches ?? [], events: row?.events ?? [] };
}

async function suspendLocked(on: Queryable, suspensions: readonly PhaseSuspension[]): Promise<ChangedRow | undefined> {
  const result = await on.query<ChangedRow>({
    name: 'suspend-phases',
    text: SUSPEND,
    values: [
      suspensions.map((one) => one.id),
      suspensions.map((one) => one.fence),
      suspensions.map((one) => groupIdOf(one.id)),
      suspensions.map((one) => one.worker),
      suspensions.map((one) => JSON.stringify(one.awaits)),
    ],
  });
  return result.rows[0];
}
