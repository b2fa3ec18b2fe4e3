// Phases go back to the queue without using an attempt: the worker stops, waits for a lock, or has died. One statement for many.
import { groupIdOf, type Dispatch } from '@millrace/shared';
import type pg from 'pg';
import { LOGGED_EVENT_JSON, type LoggedEvent } from '../events/logged-event.ts';
import { DISPATCH_GRACE_MS } from './create-flows.ts';
import { hasOutlived } from '../workers/announce-worker.ts';
import { isQueuePaused } from './readiness.ts';

export type PhaseRelease = {
  id: string;
  fence: number;
  /** interrupted: its owner gives it back. lost: its lease has run out, by a crash unless its owner is known to live; refused while the lease is alive. */
  outcome: 'interrupted' | 'lost';
  /** A word for people: shutdown, lock-held, lease-expired … */
  reason: string;
  /** Time until it should run again. */
  delayMs: number;
};

/** `released` per entry in order: false when the fence, or a lease that is still alive, refused it. */
export type ReleaseOutcome = { released: boolean[]; dispatches: Dispatch[]; events: LoggedEvent[] };

// Who is interrupted again and again comes back more and more slowly: a phase that waits for hours must not write an event every second.
const DELAY_MS =
  'greatest(a.delay_ms, CASE WHEN h.interruptions < 4 THEN 0 ELSE least(60000, 500 * 2 ^ least(h.interruptions - 4, 7))::int END)';

const RELEASE = `
WITH asked AS (
  SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::int[]) AS a (id, fence, flow_id, outcome, reason, delay_ms)
), locked AS (
  SELECT id, workspace, run, status, ${isQueuePaused('workspace')} AS queue_paused FROM millrace.flows WHERE id = ANY($3) ORDER BY id FOR UPDATE
), held AS (
  SELECT p.id, p.lease_owner, p.started_at, p.interruptions, ${hasOutlived('p.lease_owner', 'p.due_at')} AS outlived, l.status = 'paused' AS paused, l.status <> 'paused' AND NOT l.queue_paused AS free FROM millrace.phases p JOIN locked l ON l.id = p.flow_id WHERE p.id = ANY($1) ORDER BY p.id FOR UPDATE OF p
), freed AS (
  UPDATE millrace.phases p
  SET status = 'queued', generation = p.generation + 1, dispatched = h.free, held = CASE WHEN h.paused THEN 'pause' END, lease_owner = NULL,
      due_at = CASE WHEN h.free THEN now() + (${DELAY_MS} + ${DISPATCH_GRACE_MS}) * interval '1 millisecond' END,
      interruptions = p.interruptions + 1, interrupted_at = coalesce(p.interrupted_at, clock_timestamp()),
      crashes = least(p.crashes + CASE WHEN a.outcome = 'lost' AND NOT h.outlived THEN 1 ELSE 0 END, 32767)
  FROM asked a JOIN held h ON h.id = a.id
  WHERE p.id = a.id AND p.id = ANY($1) AND p.fence = a.fence AND p.status = 'running' AND (a.outcome = 'interrupted' OR p.due_at < now())
  RETURNING p.id, p.flow_id, p.workspace, p.name, p.fence, p.generation, p.priority, p.attempts, p.attempt_max, CASE WHEN h.outlived THEN 'interrupted' ELSE a.outcome END AS outcome, a.reason, ${DELAY_MS} AS delay_ms, h.free, h.lease_owner, h.started_at
), tried AS (
  INSERT INTO millrace.attempts (phase_id, fence, workspace, attempt, run, worker, outcome, started_at)
  SELECT r.id, r.fence, r.workspace, r.attempts + 1, l.run, coalesce(r.lease_owner, ''), r.outcome, r.started_at FROM freed r JOIN locked l ON l.id = r.flow_id
), flows AS (
  UPDATE millrace.flows f SET seq_last = f.seq_last + c.count
  FROM (SELECT flow_id, count(*)::int AS count FROM freed GROUP BY flow_id) c WHERE f.id = c.flow_id AND f.id = ANY($3)
  RETURNING f.id, f.seq_last - c.count AS seq_before
), logged AS (
  INSERT INTO millrace.events (subject_id, seq, workspace, type, phase, at, data)
  SELECT r.flow_id, f.seq_before + row_number() OVER (PARTITION BY r.flow_id ORDER BY r.id), r.workspace, 'phase.queued', r.name, clock_timestamp(),
         jsonb_build_object('reason', r.reason)
  FROM freed r JOIN flows f ON f.id = r.flow_id
  RETURNING subject_id, seq, workspace, type, phase, at, data
)
SELECT (SELECT coalesce(json_agg(id), '[]') FROM freed) AS released,
       (SELECT coalesce(json_agg(json_build_object('id', id, 'generation', generation, 'workspace', workspace, 'priority', priority, 'attempts', greatest(1, attempt_max - attempts), 'delayMs', delay_ms)), '[]') FROM freed WHERE free) AS dispatches,
       (SELECT coalesce(json_agg(${LOGGED_EVENT_JSON} ORDER BY subject_id, seq), '[]') FROM logged) AS events`;

export async function releasePhases(hot: pg.Pool, releases: readonly PhaseRelease[]): Promise<ReleaseOutcome> {
  const result = await hot.query<{ released: string[]; dispatches: Dispatch[]; events: LoggedEvent[] }>({
    name: 'release-phases',
    text: RELEASE,
    values: [
      releases.map((one) => one.id),
      releases.map((one) => one.fence),
      releases.map((one) => groupIdOf(one.id)),
      releases.map((one) => one.outcome),
      releases.map((one) => one.reason),
      releases.map((one) => Math.round(one.delayMs)),
    ],
  });
  const row = result.rows[0];
  const released = new Set(row?.released);
  return { released: releases.map((one) => released.has(one.id)), dispatches: row?.dispatches ?? [], events: row?.events ?? [] };
}
