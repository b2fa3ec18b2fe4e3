// Opens a new run of a flow that has ended: the chosen phases start over, everything else stays as it is. Which phases those are is decided
// by whoever opens it: a retry, or somebody who runs one phase again.
import { lastMemberId } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import type { LoggedEvent } from '../events/logged-event.ts';
import { appendEvents, type LockedFlow } from './flow-change.ts';

/**
 * SQL: the phase in this table has come to a good end, so that what needs it may run. A phase that its own condition skipped was taken by a
 * worker for that; one that was skipped because of a failure never was.
 */
export function isDone(phase: string): string {
  return `(${phase}.status = 'completed' OR (${phase}.status = 'skipped' AND ${phase}.lease_owner IS NOT NULL))`;
}

/**
 * The flow's row is locked by the caller, and the flow has ended.
 * @param chosen ids of the phases that start over
 * @param data what the event of the new run says beside its number
 */
export async function openRun(
  client: Queryable,
  flow: LockedFlow,
  { chosen, data }: { chosen: readonly string[]; data?: Record<string, unknown> },
): Promise<LoggedEvent[]> {
  const reset = await resetPhases(client, flow.id, chosen);
  const ready = reset.filter((phase) => phase.status !== 'pending');
  const active = ready.filter((phase) => phase.status === 'queued').length;
  const run = flow.run + 1;
  await client.query({
    name: 'open-run',
    text: OPEN,
    values: [flow.id, run, reset.length, active === 0 ? 'waiting' : 'queued', active, lastMemberId(flow.id)],
  });
  await askAdmission(client, flow.id);
  return appendEvents(client, flow.id, [
    { type: 'flow.queued', data: { run, ...data } },
    ...ready.map(({ name, status }) => ({ type: `phase.${status}`, phase: name })),
  ]);
}

// What failed and does not start over lets this run end as failed too, with the error of the first of them. A parent whose phase has ended
// does not wait for this run, and must not take it for one that nobody wants any more.
const OPEN = `
UPDATE millrace.flows f
SET status = CASE WHEN f.planned THEN $4 ELSE 'queued' END, run = $2, phases_open = $3, phases_active = $5, phases_failed = l.count,
    error = CASE WHEN l.count > 0 THEN coalesce(l.error, f.error) END, finished_at = NULL, admitted = f.concurrency_key IS NULL, due_at = NULL, child_settled = false,
    child_awaited = f.child_awaited AND EXISTS (
      SELECT FROM millrace.phases p JOIN millrace.flows o ON o.id = p.flow_id
      WHERE p.id = f.parent_phase_id AND p.status IN ('queued', 'running', 'retrying', 'waiting') AND o.run = f.parent_run)
FROM (
  SELECT count(*)::int AS count,
         (array_agg(jsonb_build_object('phase', name, 'code', error->>'code', 'message', error->>'message') ORDER BY finished_at, id) FILTER (WHERE error IS NOT NULL))[1] AS error
  FROM millrace.phases WHERE id > $1 AND id <= $6 AND status IN ('failed', 'quarantined', 'cancelled')
) l
WHERE f.id = $1`;

// A flow that runs anew takes its turn again wherever a limit decides about it.
async function askAdmission(client: Queryable, flowId: string): Promise<void> {
  await client.query({
    name: 'ask-admission',
    text: `
INSERT INTO millrace.admissions (workspace, kind, key)
SELECT workspace, 'limit', concurrency_key FROM millrace.flows WHERE id = $1 AND concurrency_key IS NOT NULL
UNION SELECT DISTINCT workspace, 'rate', rate_key FROM millrace.phases WHERE id > $1 AND id <= $2 AND held = 'rate'
ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING`,
    values: [flowId, lastMemberId(flowId)],
  });
}

// Ready ones go to the backlog; the dispatcher takes them from there. What is left of their last job in Redis is stale from now on.
async function resetPhases(client: Queryable, flowId: string, chosen: readonly string[]): Promise<{ name: string; status: string }[]> {
  const result = await client.query<{ name: string; status: string }>({
    name: 'reset-phases',
    text: `
WITH chosen AS (
  SELECT unnest($2::uuid[]) AS id
), open AS (
  SELECT p.id, (SELECT count(*)::int FROM millrace.phases n WHERE n.id = ANY(p.needs) AND (n.id IN (SELECT id FROM chosen) OR NOT ${isDone('n')})) AS needs_open
  FROM chosen c JOIN millrace.phases p ON p.id = c.id
)
UPDATE millrace.phases p
SET status = CASE WHEN o.needs_open > 0 THEN 'pending' WHEN p.signal IS NULL THEN 'queued' ELSE 'waiting' END, needs_open = o.needs_open, attempts = 0, crashes = 0, alone = false,
    generation = p.generation + 1, dispatched = false, awaits = NULL, signal_at = NULL, interruptions = 0, interrupted_at = NULL, cause = NULL,
    held = CASE WHEN o.needs_open = 0 AND p.signal IS NULL THEN CASE WHEN f.concurrency_key IS NOT NULL THEN 'limit' WHEN p.rate_key IS NOT NULL THEN 'rate' END END, due_at = CASE WHEN o.needs_open = 0 THEN now() + p.wait_timeout_ms * interval '1 millisecond' END, lease_owner = NULL, output = NULL, error = NULL, started_at = NULL, finished_at = NULL
FROM open o, millrace.flows f WHERE p.id = o.id AND f.id = $1 RETURNING p.name, p.status`,
    values: [flowId, chosen],
  });
  return result.rows;
}
