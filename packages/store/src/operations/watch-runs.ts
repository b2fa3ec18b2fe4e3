// The runs that a replay has opened and watches: noted in the transaction that opens them, judged by what becomes of the phases that were dead.
import { lastMemberId } from '@millrace/shared';
import type { PoolClient, Queryable } from '../database.ts';
import { IS_DEAD } from '../dead/dead-phases.ts';

export type WatchedFlow = { flowId: string; phaseIds: string[]; causes: string[] };

/** How watched runs ended. `open`: not yet. `unjudged`: cancelled, retried by somebody else, or gone. */
export type RunVerdicts = { open: number; recovered: number; returned: number; otherwise: number; unjudged: number };

type Verdict = keyof RunVerdicts;

/** What is dead in these flows now. */
export async function deadOfFlows(on: Queryable, flowIds: readonly string[]): Promise<WatchedFlow[]> {
  const result = await on.query<{ flow_id: string; phase_ids: string[]; causes: string[] }>({
    name: 'dead-of-flows',
    text: `SELECT p.flow_id, array_agg(p.id::text) AS phase_ids, array_remove(array_agg(DISTINCT p.cause), NULL) AS causes
           FROM unnest($1::uuid[], $2::uuid[]) AS f (first_id, last_id) JOIN millrace.phases p ON p.id > f.first_id AND p.id <= f.last_id
           WHERE ${IS_DEAD} GROUP BY p.flow_id`,
    values: [flowIds, flowIds.map((id) => lastMemberId(id))],
  });
  return result.rows.map((row) => ({ flowId: row.flow_id, phaseIds: row.phase_ids, causes: row.causes }));
}

/** Notes runs that this transaction has opened. */
export async function watchRuns(client: PoolClient, operationId: string, flows: readonly WatchedFlow[]): Promise<void> {
  for (const flow of flows) {
    await client.query({
      name: 'watch-run',
      text: `INSERT INTO millrace.operation_runs (operation_id, flow_id, run, phase_ids, causes)
             SELECT $1, id, run, $3::uuid[], $4::text[] FROM millrace.flows WHERE id = $2 ON CONFLICT DO NOTHING`,
      values: [operationId, flow.flowId, flow.phaseIds, flow.causes],
    });
  }
}

/**
 * Judges every watched run and forgets those whose end is known. A run has recovered when the phases that were dead are completed, whatever
 * the flow does after them; it has returned when one of its phases is dead of a cause it was dead of before.
 */
export async function judgeRuns(client: PoolClient, operationId: string): Promise<RunVerdicts> {
  const result = await client.query<{ flow_id: string; verdict: Verdict }>({
    name: 'judge-runs',
    text: `
SELECT r.flow_id, CASE
    WHEN f.id IS NULL OR f.run <> r.run OR f.status = 'cancelled' THEN 'unjudged'
    WHEN now_dead.causes && r.causes THEN 'returned'
    -- A failure that has not been grouped yet can be told apart a moment later.
    WHEN now_dead.ungrouped THEN 'open'
    WHEN now_dead.causes IS NOT NULL OR f.status = 'failed' THEN 'otherwise'
    WHEN f.status = 'completed' OR before.completed THEN 'recovered'
    ELSE 'open' END AS verdict
FROM millrace.operation_runs r
LEFT JOIN millrace.flows f ON f.id = r.flow_id
CROSS JOIN LATERAL (
  SELECT array_agg(p.cause) AS causes, coalesce(bool_or(p.cause IS NULL), false) AS ungrouped FROM millrace.phases p
  WHERE p.id > r.flow_id AND p.id <= overlay(r.flow_id::text placing 'ffff' from 33)::uuid AND p.status IN ('failed', 'quarantined')
) AS now_dead
CROSS JOIN LATERAL (
  SELECT bool_and(p.status = 'completed') AS completed FROM millrace.phases p WHERE p.id = ANY(r.phase_ids)
) AS before
WHERE r.operation_id = $1`,
    values: [operationId],
  });
  const verdicts: RunVerdicts = { open: 0, recovered: 0, returned: 0, otherwise: 0, unjudged: 0 };
  for (const { verdict } of result.rows) verdicts[verdict] += 1;
  const judged = result.rows.filter(({ verdict }) => verdict !== 'open').map((row) => row.flow_id);
  if (judged.length > 0)
    await client.query('DELETE FROM millrace.operation_runs WHERE operation_id = $1 AND flow_id = ANY($2::uuid[])', [operationId, judged]);
  return verdicts;
}
