// Phases under which processes die: run in a process of their own to be sure, then taken out of the way.
import { groupIdOf } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import type { LostClaim } from './backlog.ts';
import { endBranch, NOT_OURS, type FailureOutcome } from './fail-phase.ts';
import { appendEvents, lockFlow } from './flow-change.ts';

/** A phase that was there when its process died this often runs in one of its own from then on. */
export const SUSPECT_CRASHES = 2;
/**
 * The loss that condemns it when its worker was lost as well, which proves little: whoever ended the worker may have meant another. But a
 * phase that takes its worker with it, such as one that uses up the machine's memory, must not do so for ever.
 */
const CONDEMNED_CRASHES = 6;

/** Notes that a phase runs in a process of its own. False when the fence refused it. */
export async function markAlone(on: Queryable, phase: { id: string; fence: number }): Promise<boolean> {
  const result = await on.query({
    name: 'mark-alone',
    text: "UPDATE millrace.phases SET alone = true WHERE id = $1 AND fence = $2 AND status = 'running'",
    values: [phase.id, phase.fence],
  });
  return result.rowCount === 1;
}

/** Whether a phase whose worker was lost is not to be tried again, should that worker be dead. */
export function isCondemned(lost: Pick<LostClaim, 'crashes' | 'alone' | 'owner'>): boolean {
  return lost.alone && lost.crashes + 1 >= CONDEMNED_CRASHES && lost.owner !== 'alive';
}

/**
 * `worker`: the one that has the lease and has seen the phase's own process die, and `how` it ended. Null: the lease has run out, and with it
 * the worker.
 */
export type DeadlyPhase = { id: string; fence: number; crashes: number; seen: { worker: string; how: string } | null };

/** Takes a phase out of the way; what needs it is skipped. Refused when the fence moved, and without a witness while the lease is alive. */
export async function quarantinePhase(database: Pick<Database, 'transaction'>, deadly: DeadlyPhase): Promise<FailureOutcome> {
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, groupIdOf(deadly.id));
    if (flow === undefined) return NOT_OURS;
    const error = { code: 'crashed', message: verdict(deadly) };
    const result = await client.query<{ id: string; name: string; attempts: number }>({
      name: 'quarantine-phase',
      text: `
WITH held AS (
  SELECT id, workspace, attempts, lease_owner, started_at FROM millrace.phases
  WHERE id = $1 AND fence = $2 AND status = 'running' AND CASE WHEN $5::text IS NULL THEN due_at < now() ELSE lease_owner = $5 END FOR UPDATE
), tried AS (
  INSERT INTO millrace.attempts (phase_id, fence, workspace, attempt, run, worker, outcome, error, started_at)
  SELECT id, $2, workspace, attempts + 1, $4, coalesce(lease_owner, ''), 'lost', $3, started_at FROM held
)
UPDATE millrace.phases p
SET status = 'quarantined', crashes = p.crashes + 1, error = $3, lease_owner = NULL, due_at = NULL, finished_at = clock_timestamp()
FROM held WHERE p.id = held.id RETURNING p.id, p.name, p.attempts`,
      values: [deadly.id, deadly.fence, JSON.stringify(error), flow.run, deadly.seen?.worker ?? null],
    });
    const row = result.rows[0];
    if (row === undefined) return NOT_OURS;
    const news = await endBranch(client, { flow, row, error, wasActive: true, type: 'phase.quarantined' });
    return { committed: true, events: await appendEvents(client, flow.id, news) };
  });
}

function verdict({ crashes, seen }: DeadlyPhase): string {
  const times = `its process died under it ${crashes + 1} times`;
  if (seen === null) return `${times}, the last ones in a process of its own that went with its worker`;
  return `${times}, the last time with nothing else running beside it: ${seen.how}`;
}
