// Opens a new run of a failed flow: what failed or was skipped starts over, what was completed keeps its output.
import { lastMemberId } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import type { FlowActionOutcome } from './cancel-flow.ts';
import { appendEvents, lockFlow } from './flow-change.ts';

export async function retryFlow(database: Pick<Database, 'transaction'>, target: { flowId: string; workspace: string }): Promise<FlowActionOutcome> {
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, target.flowId, target.workspace);
    if (flow === undefined) return { kind: 'not-found' };
    if (flow.status !== 'failed') return { kind: 'refused', status: flow.status };
    const reset = await resetPhases(client, flow.id);
    const run = flow.run + 1;
    await client.query(
      "UPDATE millrace.flows SET status = 'queued', run = $2, phases_open = $3, phases_failed = 0, error = NULL, finished_at = NULL WHERE id = $1",
      [flow.id, run, reset.length],
    );
    const ready = reset.filter((phase) => phase.needs_open === 0);
    const events = await appendEvents(client, flow.id, [{ type: 'flow.queued', data: { run } }, ...ready.map(({ name }) => ({ type: 'phase.queued', phase: name }))]);
    return { kind: 'done', events };
  });
}

// Ready ones go to the backlog; the dispatcher takes them from there.
async function resetPhases(client: Queryable, flowId: string): Promise<{ name: string; needs_open: number }[]> {
  const result = await client.query<{ name: string; needs_open: number }>({
    name: 'reset-phases',
    text: `
WITH open AS (
  SELECT p.id, (SELECT count(*)::int FROM millrace.phases n WHERE n.id = ANY(p.needs) AND n.status <> 'completed') AS needs_open
  FROM millrace.phases p WHERE p.id > $1 AND p.id <= $2 AND p.status <> 'completed'
)
UPDATE millrace.phases p
SET status = CASE WHEN o.needs_open = 0 THEN 'queued' ELSE 'pending' END, needs_open = o.needs_open, attempts = 0, crashes = 0,
    dispatched = false, due_at = NULL, lease_owner = NULL, output = NULL, error = NULL, started_at = NULL, finished_at = NULL
FROM open o WHERE p.id = o.id RETURNING p.name, p.needs_open`,
    values: [flowId, lastMemberId(flowId)],
  });
  return result.rows;
}
