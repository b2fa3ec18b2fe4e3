// Opens a new run of a failed flow: what failed or was skipped because of it starts over, what came to a good end stays.
import { lastMemberId } from '@millrace/shared';
import type { Database } from '../database.ts';
import type { FlowActionOutcome } from './cancel-flow.ts';
import { lockFlow } from './flow-change.ts';
import { isDone, openRun } from './open-run.ts';

export async function retryFlow(
  database: Pick<Database, 'transaction'>,
  target: { flowId: string; workspace: string },
): Promise<FlowActionOutcome> {
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, target.flowId, target.workspace);
    if (flow === undefined) return { kind: 'not-found' };
    if (flow.status !== 'failed') return { kind: 'refused', status: flow.status };
    const undone = await client.query<{ id: string }>({
      name: 'undone-phases',
      text: `SELECT p.id FROM millrace.phases p WHERE p.id > $1 AND p.id <= $2 AND NOT ${isDone('p')} ORDER BY p.id`,
      values: [flow.id, lastMemberId(flow.id)],
    });
    return { kind: 'done', events: await openRun(client, flow, { chosen: undone.rows.map((row) => row.id) }) };
  });
}
