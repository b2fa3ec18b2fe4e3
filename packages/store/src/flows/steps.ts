// Results of durable steps: kept with the phase, written only while the fence holds. One statement for the steps of many phases.
import { groupIdOf } from '@millrace/shared';
import type pg from 'pg';
import type { Queryable } from '../database.ts';

export type NewStep = { phaseId: string; run: number; fence: number; name: string; resultJson: string };

/** Results of the steps this phase has finished in this run, as JSON by name. */
export async function readSteps(on: Queryable, phase: { id: string; run: number }): Promise<Map<string, string>> {
  const result = await on.query<{ name: string; result: string }>({
    name: 'read-steps',
    text: 'SELECT name, result::text AS result FROM millrace.steps WHERE phase_id = $1 AND run = $2',
    values: [phase.id, phase.run],
  });
  return new Map(result.rows.map((row) => [row.name, row.result]));
}

// Whoever takes a phase over changes its flow's row first, so a share of that lock keeps the fence as it is until the steps are written.
// The phases are locked too, because only a lock makes this statement see what was committed while it waited for the flows.
const SAVE = `
WITH asked AS (
  SELECT * FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::text[], $5::jsonb[]) AS a (phase_id, run, fence, name, result)
), flows AS (
  SELECT id FROM millrace.flows WHERE id = ANY($6::uuid[]) ORDER BY id FOR SHARE
), held AS (
  SELECT p.id, p.fence, p.workspace FROM millrace.phases p
  WHERE p.id = ANY($1) AND p.flow_id = ANY(ARRAY(SELECT id FROM flows)) AND p.status = 'running' ORDER BY p.id FOR SHARE
), saved AS (
  INSERT INTO millrace.steps (phase_id, run, name, workspace, result)
  SELECT a.phase_id, a.run, a.name, h.workspace, a.result FROM asked a JOIN held h ON h.id = a.phase_id AND h.fence = a.fence
  ON CONFLICT (phase_id, run, name) DO UPDATE SET result = excluded.result
)
SELECT id, fence FROM held`;

/** Keeps results of steps; the same step must not be among them twice. Answers for each, in order, whether the fence let it in. */
export async function saveSteps(hot: pg.Pool, steps: readonly NewStep[]): Promise<boolean[]> {
  const result = await hot.query<{ id: string; fence: string }>({
    name: 'save-steps',
    text: SAVE,
    values: [
      steps.map((step) => step.phaseId),
      steps.map((step) => step.run),
      steps.map((step) => step.fence),
      steps.map((step) => step.name),
      steps.map((step) => step.resultJson),
      steps.map((step) => groupIdOf(step.phaseId)),
    ],
  });
  const fences = new Map(result.rows.map((row) => [row.id, Number(row.fence)]));
  return steps.map((step) => fences.get(step.phaseId) === step.fence);
}
