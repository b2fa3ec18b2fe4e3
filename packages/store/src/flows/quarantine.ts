// Phases under which processes die: run alone to be sure, then taken out of the way.
import { groupIdOf } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import type { LostClaim } from './backlog.ts';
import { endBranch, NOT_OURS, type FailureOutcome } from './fail-phase.ts';
import { appendEvents, lockFlow } from './flow-change.ts';

/** A phase that was there when its process died this often runs alone from then on. */
export const SUSPECT_CRASHES = 2;
/** The crash that condemns it, if it was alone then. */
const QUARANTINE_CRASHES = 3;

/** Notes that a phase runs with nothing beside it in its process. False when the fence refused it. */
export async function markAlone(on: Queryable, phase: { id: string; fence: number }): Promise<boolean> {
  const result = await on.query({
    name: 'mark-alone',
    text: "UPDATE millrace.phases SET alone = true WHERE id = $1 AND fence = $2 AND status = 'running'",
    values: [phase.id, phase.fence],
  });
  return result.rowCount === 1;
}

/** Whether the loss of this claim is the third crash and nobody else can have caused it, should its process have died. */
export function isCondemned(lost: Pick<LostClaim, 'crashes' | 'alone' | 'owner'>): boolean {
  return lost.alone && lost.crashes + 1 >= QUARANTINE_CRASHES && lost.owner !== 'alive';
}

/** Takes a phase out of the way whose lease has run out; what needs it is skipped. Refused while the lease is alive or when the fence moved. */
export async function quarantinePhase(
  database: Pick<Database, 'transaction'>,
  lost: { id: string; fence: number },
): Promise<FailureOutcome> {
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, groupIdOf(lost.id));
    if (flow === undefined) return NOT_OURS;
    const error = { code: 'crashed', message: 'its process died under it three times, the last time with nothing else running beside it' };
    const result = await client.query<{ id: string; name: string; attempts: number }>({
      name: 'quarantine-phase',
      text: `
WITH held AS (
  SELECT id, workspace, attempts, lease_owner, started_at FROM millrace.phases
  WHERE id = $1 AND fence = $2 AND status = 'running' AND due_at < now() FOR UPDATE
), tried AS (
  INSERT INTO millrace.attempts (phase_id, fence, workspace, attempt, run, worker, outcome, error, started_at)
  SELECT id, $2, workspace, attempts + 1, $4, coalesce(lease_owner, ''), 'lost', $3, started_at FROM held
)
UPDATE millrace.phases p
SET status = 'quarantined', crashes = p.crashes + 1, error = $3, lease_owner = NULL, due_at = NULL, finished_at = clock_timestamp()
FROM held WHERE p.id = held.id RETURNING p.id, p.name, p.attempts`,
      values: [lost.id, lost.fence, JSON.stringify(error), flow.run],
    });
    const row = result.rows[0];
    if (row === undefined) return NOT_OURS;
    const news = await endBranch(client, { flow, row, error, wasActive: true, type: 'phase.quarantined' });
    return { committed: true, events: await appendEvents(client, flow.id, news) };
  });
}
