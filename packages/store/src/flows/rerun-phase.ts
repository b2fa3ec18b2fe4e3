// Runs one phase of an ended flow again, with everything that depends on it, in a new run. All other phases stay as they are.
import { lastMemberId } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import type { FlowActionOutcome } from './cancel-flow.ts';
import { lockFlow } from './flow-change.ts';
import { isDone, openRun } from './open-run.ts';

export type RerunOutcome =
  | FlowActionOutcome
  /** These phases are needed, do not start over, and have not come to a good end: what needs them could never run. At most ten are named. */
  | { kind: 'blocked'; by: { name: string; status: string }[] };

/**
 * Refused on a flow that has not ended, and on a cancelled one, as a retry is. `not-found` also for a phase that the flow does not have.
 * Phases that failed elsewhere stay failed, and let the new run end as failed.
 */
export async function rerunPhase(
  database: Pick<Database, 'transaction'>,
  target: { flowId: string; workspace: string; phase: string },
): Promise<RerunOutcome> {
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, target.flowId, target.workspace);
    const chosen = flow === undefined ? [] : await phaseAndDependants(client, flow.id, target.phase);
    if (flow === undefined || chosen.length === 0) return { kind: 'not-found' };
    if (flow.status !== 'failed' && flow.status !== 'completed') return { kind: 'refused', status: flow.status };
    const by = await missingNeeds(client, chosen);
    if (by.length > 0) return { kind: 'blocked', by };
    return { kind: 'done', events: await openRun(client, flow, { chosen, data: { phase: target.phase } }) };
  });
}

async function phaseAndDependants(client: Queryable, flowId: string, name: string): Promise<string[]> {
  const result = await client.query<{ id: string }>({
    name: 'phase-and-dependants',
    text: `
WITH RECURSIVE chosen AS (
  SELECT id FROM millrace.phases WHERE id > $1 AND id <= $2 AND name = $3
  UNION SELECT unnest(p.dependants) FROM millrace.phases p JOIN chosen c ON p.id = c.id
)
SELECT id FROM chosen ORDER BY id`,
    values: [flowId, lastMemberId(flowId), name],
  });
  return result.rows.map((row) => row.id);
}

async function missingNeeds(client: Queryable, chosen: readonly string[]): Promise<{ name: string; status: string }[]> {
  const result = await client.query<{ name: string; status: string }>({
    name: 'missing-needs',
    text: `
WITH chosen AS (
  SELECT unnest($1::uuid[]) AS id
), needed AS (
  SELECT DISTINCT need AS id FROM chosen c JOIN millrace.phases p ON p.id = c.id CROSS JOIN LATERAL unnest(p.needs) AS need
)
SELECT n.name, n.status FROM needed JOIN millrace.phases n ON n.id = needed.id
WHERE n.id NOT IN (SELECT id FROM chosen) AND NOT ${isDone('n')} ORDER BY n.id LIMIT 10`,
    values: [chosen],
  });
  return result.rows;
}
