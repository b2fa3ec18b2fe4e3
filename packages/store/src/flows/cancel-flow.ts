// Ends a flow at once on request. Its running phases are fenced by their status: whatever they commit later is refused.
import { isTerminalFlow, lastMemberId, type FlowStatus } from '@millrace/shared';
import type { Database } from '../database.ts';
import type { LoggedEvent } from '../events/logged-event.ts';
import { appendEvents, freePlace, lockFlow } from './flow-change.ts';

export type FlowActionOutcome =
  | { kind: 'done'; events: LoggedEvent[] }
  | { kind: 'not-found' }
  /** The status that does not allow it. */
  | { kind: 'refused'; status: FlowStatus };

export async function cancelFlow(
  database: Pick<Database, 'transaction'>,
  target: { flowId: string; workspace: string; by: string },
): Promise<FlowActionOutcome> {
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, target.flowId, target.workspace);
    if (flow === undefined) return { kind: 'not-found' };
    if (isTerminalFlow(flow.status)) return { kind: 'refused', status: flow.status };
    await client.query({
      name: 'record-cancelled-attempts',
      text: `INSERT INTO millrace.attempts (phase_id, fence, workspace, attempt, run, worker, outcome, started_at)
             SELECT id, fence, workspace, attempts + 1, $2, coalesce(lease_owner, ''), 'cancelled', started_at
             FROM millrace.phases WHERE id > $1 AND id <= $3 AND status = 'running'`,
      values: [flow.id, flow.run, lastMemberId(flow.id)],
    });
    await client.query({
      name: 'cancel-phases',
      text: `UPDATE millrace.phases SET status = 'cancelled', lease_owner = NULL, held = NULL, awaits = NULL, due_at = NULL, finished_at = clock_timestamp()
             WHERE id > $1 AND id <= $2 AND status IN ('pending', 'queued', 'running', 'retrying', 'waiting')`,
      values: [flow.id, lastMemberId(flow.id)],
    });
    await client.query(
      "UPDATE millrace.flows SET status = 'cancelled', phases_open = 0, phases_active = 0, pause = NULL, due_at = NULL, finished_at = clock_timestamp() WHERE id = $1",
      [flow.id],
    );
    await freePlace(client, flow.id);
    return { kind: 'done', events: await appendEvents(client, flow.id, [{ type: 'flow.cancelled', data: { by: target.by } }]) };
  });
}
