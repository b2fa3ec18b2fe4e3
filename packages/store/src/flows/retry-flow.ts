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
      "UPDATE millrace.flows SET status = CASE WHEN planned THEN $4 ELSE 'queued' END, run = $2, phases_open = $3, phases_active = $5, phases_failed = 0, error = NULL, finished_at = NULL WHERE id = $1",
      [flow.id, run, reset.length, active === 0 ? 'waiting' : 'queued', active],
    );
    const events = await appendEvents(client, flow.id, [
      { type: 'flow.queued', data: { run } },
      ...ready.map(({ name, status }) => ({ type: `phase.${status}`, phase: name })),
    ]);
    return { kind: 'done', events };
  });
}

// Ready ones go to the backlog; the dispatcher takes them from there.
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
    dispatched = false, due_at = CASE WHEN o.needs_open = 0 THEN now() + p.wait_timeout_ms * interval '1 millisecond' END, lease_owner = NULL, output = NULL, error = NULL, started_at = NULL, finished_at = NULL
FROM open o WHERE p.id = o.id RETURNING p.name, p.status`,
    values: [flowId, lastMemberId(flowId)],
  });
  return result.rows;
}
