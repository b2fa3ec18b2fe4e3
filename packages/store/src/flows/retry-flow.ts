// Opens a new run of a failed flow: what failed or was skipped starts over, what was completed keeps its output.
import { lastMemberId } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import type { FlowActionOutcome } from './cancel-flow.ts';
import { appendEvents, lockFlow } from './flow-change.ts';

export async function retryFlow(
  database: Pick<Database, 'transaction'>,
  target: { flowId: string; workspace: string },
): Promise<FlowActionOutcome> {
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, target.flowId, target.workspace);
    if (flow === undefined) return { kind: 'not-found' };
    if (flow.status !== 'failed') return { kind: 'refused', status: flow.status };
    const reset = await resetPhases(client, flow.id);
    const run = flow.run + 1;
    const ready = reset.filter((phase) => phase.status !== 'pending');
    const active = ready.filter((phase) => phase.status === 'queued').length;
    await client.query(
      "UPDATE millrace.flows SET status = CASE WHEN planned THEN $4 ELSE 'queued' END, run = $2, phases_open = $3, phases_active = $5, phases_failed = 0, error = NULL, finished_at = NULL, admitted = concurrency_key IS NULL, due_at = NULL, child_settled = false WHERE id = $1",
      [flow.id, run, reset.length, active === 0 ? 'waiting' : 'queued', active],
    );
    await askAdmission(client, flow.id);
    const events = await appendEvents(client, flow.id, [
      { type: 'flow.queued', data: { run } },
      ...ready.map(({ name, status }) => ({ type: `phase.${status}`, phase: name })),
    ]);
    return { kind: 'done', events };
  });
}

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

// Ready ones go to the backlog; the dispatcher takes them from there. Jobs of the run before that are still in Redis are stale from now on.
async function resetPhases(client: Queryable, flowId: string): Promise<{ name: string; status: string }[]> {
  const result = await client.query<{ name: string; status: string }>({
    name: 'reset-phases',
    text: `
WITH open AS (
  SELECT p.id, (SELECT count(*)::int FROM millrace.phases n WHERE n.id = ANY(p.needs) AND n.status <> 'completed') AS needs_open
  FROM millrace.phases p WHERE p.id > $1 AND p.id <= $2 AND p.status <> 'completed'
)
UPDATE millrace.phases p
SET status = CASE WHEN o.needs_open > 0 THEN 'pending' WHEN p.signal IS NULL THEN 'queued' ELSE 'waiting' END, needs_open = o.needs_open, attempts = 0, crashes = 0, alone = false,
    dispatched = false, generation = p.generation + 1, awaits = NULL, interruptions = 0, interrupted_at = NULL, cause = NULL,
    held = CASE WHEN o.needs_open = 0 AND p.signal IS NULL THEN CASE WHEN f.concurrency_key IS NOT NULL THEN 'limit' WHEN p.rate_key IS NOT NULL THEN 'rate' END END, due_at = CASE WHEN o.needs_open = 0 THEN now() + p.wait_timeout_ms * interval '1 millisecond' END, lease_owner = NULL, output = NULL, error = NULL, started_at = NULL, finished_at = NULL
FROM open o, millrace.flows f WHERE p.id = o.id AND f.id = $1 RETURNING p.name, p.status`,
    values: [flowId, lastMemberId(flowId)],
  });
  return result.rows;
}
