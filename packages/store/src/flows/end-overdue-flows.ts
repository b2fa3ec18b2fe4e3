// Ends flows whose time is over: those that were not started before their expiry, and those that take longer than they may.
// Their running phases are fenced by their status, as when a flow is cancelled.
import { lastMemberId, type FlowStatus } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import type { LoggedEvent } from '../events/logged-event.ts';
import { appendEvents } from './flow-change.ts';

export type OverdueEnd = {
  /** False when its time is not over after all, or it has ended meanwhile. */
  ended: boolean;
  /** Phases that ran: their workers are to be told. */
  running: number;
  events: LoggedEvent[];
};

const EXPIRED = { code: 'expired', message: 'the flow had not started when it expired' };
const TIMED_OUT = { code: 'timeout', message: 'the flow took longer than its time limit' };
const NOT_ENDED: OverdueEnd = { ended: false, running: 0, events: [] };

// due_at says when to look; these say whether it is the flow's own time that is over, or just that of a pause. started_at is that of the first
// run: of a later one, only due_at tells when its time ends, and nothing while a pause has put its own end there.
const IS_EXPIRED = 'run = 1 AND started_at IS NULL AND expires_at <= now()';
const IS_TIMED_OUT = "(run = 1 OR status <> 'paused') AND started_at + timeout_ms * interval '1 millisecond' <= now()";
const IS_OPEN = "status NOT IN ('completed', 'failed', 'cancelled')";

/** Flows that have to be looked at because their time may be over, longest overdue first. */
export async function overdueFlows(on: Queryable, limit: number): Promise<string[]> {
  const result = await on.query<{ id: string }>({
    name: 'overdue-flows',
    text: `SELECT id FROM millrace.flows WHERE due_at <= now() AND ${IS_OPEN} AND (status <> 'paused' OR (${IS_EXPIRED}) OR (${IS_TIMED_OUT})) ORDER BY due_at LIMIT $1`,
    values: [limit],
  });
  return result.rows.map((row) => row.id);
}

type OverdueFlow = {
  id: string;
  workspace: string;
  status: FlowStatus;
  run: number;
  concurrency_key: string | null;
  expired: boolean;
  timed_out: boolean;
};

/** Ends a flow whose time is over; running it twice changes nothing. */
export async function endOverdueFlow(database: Pick<Database, 'transaction'>, flowId: string): Promise<OverdueEnd> {
  return database.transaction(async (client) => {
    const flow = await lockOverdue(client, flowId);
    if (flow === undefined) return NOT_ENDED;
    if (!flow.expired && !flow.timed_out) {
      await correctDueTime(client, flow);
      return NOT_ENDED;
    }
    const error = flow.expired ? EXPIRED : TIMED_OUT;
    const running = await closeOpenPhases(client, flow);
    await client.query({
      name: 'end-overdue-flow',
      text: `UPDATE millrace.flows SET status = 'failed', error = $2, phases_open = 0, phases_active = 0, due_at = NULL, pause = NULL, finished_at = clock_timestamp() WHERE id = $1`,
      values: [flow.id, JSON.stringify(error)],
    });
    if (flow.concurrency_key !== null)
      await client.query("INSERT INTO millrace.admissions (workspace, kind, key) VALUES ($1, 'limit', $2)", [
        flow.workspace,
        flow.concurrency_key,
      ]);
    return { ended: true, running, events: await appendEvents(client, flow.id, [{ type: 'flow.failed', data: { error } }]) };
  });
}

async function lockOverdue(client: Queryable, flowId: string): Promise<OverdueFlow | undefined> {
  const result = await client.query<OverdueFlow>({
    name: 'lock-overdue-flow',
    text: `SELECT id, workspace, status, run, concurrency_key, coalesce(${IS_EXPIRED}, false) AS expired, coalesce(${IS_TIMED_OUT}, false) AS timed_out
           FROM millrace.flows WHERE id = $1 AND due_at <= now() AND ${IS_OPEN} FOR UPDATE`,
    values: [flowId],
  });
  return result.rows[0];
}

// What was due has lost its meaning: an expiry of a flow that has started since. What is due of a paused one is left to who ends pauses.
async function correctDueTime(client: Queryable, flow: OverdueFlow): Promise<void> {
  if (flow.status === 'paused') return;
  await client.query({
    name: 'correct-due-time',
    text: `UPDATE millrace.flows SET due_at = CASE WHEN started_at IS NOT NULL THEN started_at + timeout_ms * interval '1 millisecond' WHEN run = 1 THEN expires_at END WHERE id = $1`,
    values: [flow.id],
  });
}

async function closeOpenPhases(client: Queryable, flow: OverdueFlow): Promise<number> {
  const attempts = await client.query({
    name: 'record-overdue-attempts',
    text: `INSERT INTO millrace.attempts (phase_id, fence, workspace, attempt, run, worker, outcome, started_at)
           SELECT id, fence, workspace, attempts + 1, $2, coalesce(lease_owner, ''), 'cancelled', started_at
           FROM millrace.phases WHERE id > $1 AND id <= $3 AND status = 'running'`,
    values: [flow.id, flow.run, lastMemberId(flow.id)],
  });
  await client.query({
    name: 'close-overdue-phases',
    text: `UPDATE millrace.phases SET status = 'cancelled', lease_owner = NULL, held = NULL, awaits = NULL, due_at = NULL, finished_at = clock_timestamp()
           WHERE id > $1 AND id <= $2 AND status IN ('pending', 'queued', 'running', 'retrying', 'waiting')`,
    values: [flow.id, lastMemberId(flow.id)],
  });
  return attempts.rowCount ?? 0;
}
