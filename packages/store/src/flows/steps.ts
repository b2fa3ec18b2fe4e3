// Results of durable steps: kept with the phase, written only while the fence holds.
import type { Queryable } from '../database.ts';

/** Results of the steps this phase has finished in this run, by name. */
export async function readSteps(on: Queryable, phase: { id: string; run: number }): Promise<Map<string, unknown>> {
  const result = await on.query<{ name: string; result: unknown }>({
    name: 'read-steps',
    text: 'SELECT name, result FROM millrace.steps WHERE phase_id = $1 AND run = $2',
    values: [phase.id, phase.run],
  });
  return new Map(result.rows.map((row) => [row.name, row.result]));
}

/** Keeps a step's result. False when the fence refused it. The phase's row stays locked against takeover until the statement ends. */
export async function saveStep(
  on: Queryable,
  step: { phaseId: string; run: number; fence: number; name: string; resultJson: string },
): Promise<boolean> {
  const result = await on.query({
    name: 'save-step',
    text: `
WITH held AS (
  SELECT id, workspace FROM millrace.phases WHERE id = $1 AND fence = $3 AND status = 'running' FOR SHARE
)
INSERT INTO millrace.steps (phase_id, run, name, workspace, result) SELECT id, $2, $4, workspace, $5 FROM held
ON CONFLICT (phase_id, run, name) DO UPDATE SET result = excluded.result`,
    values: [step.phaseId, step.run, step.fence, step.name, step.resultJson],
  });
  return result.rowCount === 1;
}
