// The frame of every rarer change of a flow: lock its row, change phases, append events with the next numbers, all in one transaction.
import type { FlowStatus } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import { entriesOf, eventsOfRun, LOG_RUN, RETURNING_RUN, type EventRun, type LoggedEvent } from '../events/logged-event.ts';

export type LockedFlow = {
  id: string;
  workspace: string;
  name: string;
  version: number;
  status: FlowStatus;
  run: number;
  priority: number;
  phases_open: number;
  phases_active: number;
  phases_failed: number;
  /** False while its start time lies ahead. */
  is_due: boolean;
};

export type NewEvent = { type: string; phase?: string; data?: Record<string, unknown> };

/** Locks a flow's row until the transaction ends. Undefined when there is no such flow, or none in this workspace. */
export async function lockFlow(on: Queryable, flowId: string, workspace?: string): Promise<LockedFlow | undefined> {
  const result = await on.query<LockedFlow>({
    name: 'lock-flow',
    text: 'SELECT id, workspace, name, version, status, run, priority, phases_open, phases_active, phases_failed, coalesce(run_at <= now(), true) AS is_due FROM millrace.flows WHERE id = $1 AND ($2::text IS NULL OR workspace = $2) FOR UPDATE',
    values: [flowId, workspace ?? null],
  });
  return result.rows[0];
}

/** Appends events to a flow whose row this transaction has locked, and answers them as written. */
export async function appendEvents(on: Queryable, flowId: string, events: readonly NewEvent[]): Promise<LoggedEvent[]> {
  if (events.length === 0) return [];
  const { rows } = await on.query<EventRun>({
    name: 'append-events',
    text: `
WITH numbered AS (
  UPDATE millrace.flows SET seq_last = seq_last + $3::int WHERE id = $1 RETURNING id, workspace, seq_last
)
${LOG_RUN} SELECT id, clock_timestamp(), seq_last, workspace, $2::json FROM numbered ${RETURNING_RUN}`,
    values: [flowId, entriesOf(events), events.length],
  });
  return rows.flatMap(eventsOfRun);
}

/** A flow that held a place under its concurrency key, or stood in line for one, has ended: the key is looked at for who comes next. */
export async function freePlace(on: Queryable, flowId: string): Promise<void> {
  await on.query({
    name: 'free-place',
    text: `INSERT INTO millrace.admissions (workspace, kind, key) SELECT workspace, 'limit', concurrency_key FROM millrace.flows
           WHERE id = $1 AND concurrency_key IS NOT NULL ON CONFLICT DO NOTHING`,
    values: [flowId],
  });
}

/**
 * Counts phases that reached an end (`active` of them were queued, running or retrying) and, when none is open any more, ends the flow.
 * Answers the event of the end, if it came.
 */
export async function closePhases(
  on: Queryable,
  flow: LockedFlow,
  closed: { count: number; active: number; failed: number; error: unknown },
): Promise<NewEvent[]> {
  const open = flow.phases_open - closed.count;
  const failed = flow.phases_failed + closed.failed;
  const active = flow.phases_active - closed.active;
  const end = open > 0 ? null : failed > 0 ? 'failed' : 'completed';
  await on.query({
    name: 'close-phases',
    text: `UPDATE millrace.flows SET phases_open = $2, phases_failed = $3, phases_active = $6, error = coalesce(error, $4::jsonb),
             status = CASE WHEN $5::text IS NOT NULL THEN $5 WHEN $6 = 0 AND status = 'running' THEN 'waiting' ELSE status END,
             due_at = CASE WHEN $5::text IS NULL THEN due_at END, pause = CASE WHEN $5::text IS NULL THEN pause END, finished_at = CASE WHEN $5::text IS NULL THEN finished_at ELSE clock_timestamp() END WHERE id = $1`,
    values: [flow.id, open, failed, closed.error === undefined ? null : JSON.stringify(closed.error), end, active],
  });
  if (end === null) return [];
  await freePlace(on, flow.id);
  return [{ type: `flow.${end}`, data: closed.error === undefined ? {} : { error: closed.error } }];
}
