// Pauses and resumes flows. What runs finishes; nothing later starts until the flow is resumed, by hand or at the end of the pause.
import { isTerminalFlow, lastMemberId } from '@millrace/shared';
import type { Dispatch } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import type { LoggedEvent } from '../events/logged-event.ts';
import type { FlowActionOutcome } from './cancel-flow.ts';
import { appendEvents, lockFlow, type LockedFlow } from './flow-change.ts';
import { deliverKept } from './signals.ts';

/** As kept with a flow while it is paused, beside the status and the due time it goes back to. */
export type FlowPause = { by: string; reason: string | null; at: string; until: string | null };

export type NewFlowPause = { flowId: string; workspace: string; by: string; reason: string | null; until: Date | null };

/** What a resume did; jobs may have become ready because of signals that had been kept. */
export type ResumeOutcome = Exclude<FlowActionOutcome, { kind: 'done' }> | { kind: 'done'; events: LoggedEvent[]; dispatches: Dispatch[] };

/** Who ends a pause when its time is over. */
const CLOCK = 'clock';

/** Refused on a flow that is paused already or has ended. */
export async function pauseFlow(database: Pick<Database, 'transaction'>, pause: NewFlowPause): Promise<FlowActionOutcome> {
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, pause.flowId, pause.workspace);
    if (flow === undefined) return { kind: 'not-found' };
    if (flow.status === 'paused' || isTerminalFlow(flow.status)) return { kind: 'refused', status: flow.status };
    await client.query({
      name: 'pause-flow',
      text: `UPDATE millrace.flows SET status = 'paused', due_at = $4::timestamptz,
               pause = jsonb_build_object('by', $2::text, 'reason', $3::text, 'at', clock_timestamp(), 'until', $4::timestamptz, 'from', status, 'due', due_at) WHERE id = $1`,
      values: [flow.id, pause.by, pause.reason, pause.until],
    });
    await holdQueued(client, flow);
    return { kind: 'done', events: await appendEvents(client, flow.id, [{ type: 'flow.paused', data: eventData(pause) }]) };
  });
}

// A job that is in Redis already is stale from now on: its generation has passed. Start times that lie ahead stay.
async function holdQueued(client: Queryable, flow: LockedFlow): Promise<void> {
  await client.query({
    name: 'hold-queued',
    text: `UPDATE millrace.phases SET held = 'pause', generation = generation + CASE WHEN dispatched THEN 1 ELSE 0 END, dispatched = false,
             due_at = CASE WHEN NOT dispatched AND due_at > now() THEN due_at END
           WHERE id > $1 AND id <= $2 AND status = 'queued'`,
    values: [flow.id, lastMemberId(flow.id)],
  });
}

export async function resumeFlow(
  database: Pick<Database, 'transaction' | 'main'>,
  target: { flowId: string; workspace: string; by: string },
): Promise<ResumeOutcome> {
  const outcome = await database.transaction(async (client): Promise<FlowActionOutcome> => {
    const flow = await lockFlow(client, target.flowId, target.workspace);
    if (flow === undefined) return { kind: 'not-found' };
    if (flow.status !== 'paused') return { kind: 'refused', status: flow.status };
    return { kind: 'done', events: await resumeLocked(client, flow, target.by) };
  });
  return outcome.kind === 'done' ? withKeptSignals(database, target.flowId, outcome.events) : outcome;
}

/** Resumes up to `limit` flows whose pause has ended. Answers how many it looked at, and what came of it. */
export async function resumeDuePauses(
  database: Pick<Database, 'transaction' | 'main' | 'hot'>,
  limit: number,
): Promise<{ count: number; events: LoggedEvent[]; dispatches: Dispatch[] }> {
  const due = await database.hot.query<{ id: string }>({
    name: 'due-pauses',
    text: "SELECT id FROM millrace.flows WHERE due_at <= now() AND status = 'paused' ORDER BY due_at LIMIT $1",
    values: [limit],
  });
  const events: LoggedEvent[] = [];
  const dispatches: Dispatch[] = [];
  for (const { id } of due.rows) {
    const resumed = await database.transaction(async (client) => {
      const flow = await lockFlow(client, id);
      return flow === undefined || !(await isPauseOver(client, id)) ? [] : resumeLocked(client, flow, CLOCK);
    });
    if (resumed.length === 0) continue;
    const outcome = await withKeptSignals(database, id, resumed);
    events.push(...outcome.events);
    dispatches.push(...outcome.dispatches);
  }
  return { count: due.rows.length, events, dispatches };
}

// Asked again under the lock: it may have been resumed, or paused anew for longer, meanwhile.
async function isPauseOver(client: Queryable, flowId: string): Promise<boolean> {
  const found = await client.query("SELECT FROM millrace.flows WHERE id = $1 AND status = 'paused' AND due_at <= now()", [flowId]);
  return found.rowCount === 1;
}

async function resumeLocked(client: Queryable, flow: LockedFlow, by: string): Promise<LoggedEvent[]> {
  const resumed = await client.query<{ reason: string | null; until: Date | null }>({
    name: 'resume-flow',
    text: `
WITH old AS (SELECT id, pause FROM millrace.flows WHERE id = $1)
UPDATE millrace.flows f SET pause = NULL,
  status = CASE WHEN NOT f.planned THEN 'queued' WHEN f.phases_active = 0 THEN 'waiting' WHEN old.pause->>'from' = 'queued' THEN 'queued' ELSE 'running' END,
  due_at = (old.pause->>'due')::timestamptz
FROM old WHERE f.id = old.id RETURNING old.pause->>'reason' AS reason, (old.pause->>'until')::timestamptz AS until`,
    values: [flow.id],
  });
  await letGo(client, flow);
  const { reason = null, until = null } = resumed.rows[0] ?? {};
  return appendEvents(client, flow.id, [{ type: 'flow.resumed', data: { by, reason, until: until?.toISOString() ?? null } }]);
}

/** Of a phase that waits: its time ran out, or is about to. */
const IS_OVER = "(status = 'waiting' AND (due_at < now() + interval '1 second' OR due_at = 'infinity'))";

// What is free goes to the backlog; what a limit decides about is brought before it again. A wait whose time ran out meanwhile has one second
// left, in which a signal that was kept is delivered.
async function letGo(client: Queryable, flow: LockedFlow): Promise<void> {
  await client.query({
    name: 'let-go',
    text: `
WITH freed AS (
  UPDATE millrace.phases p SET held = CASE WHEN NOT f.admitted THEN 'limit' WHEN p.rate_key IS NOT NULL THEN 'rate' END
  FROM millrace.flows f WHERE f.id = $1 AND p.id > $1 AND p.id <= $2 AND p.status = 'queued' AND p.held = 'pause'
  RETURNING p.workspace, p.held, p.rate_key, f.concurrency_key
)
INSERT INTO millrace.admissions (workspace, kind, key)
SELECT DISTINCT workspace, held, CASE held WHEN 'limit' THEN concurrency_key ELSE rate_key END FROM freed
WHERE CASE held WHEN 'limit' THEN concurrency_key WHEN 'rate' THEN rate_key END IS NOT NULL
ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING`,
    values: [flow.id, lastMemberId(flow.id)],
  });
  await client.query({
    name: 'resume-waits',
    text: `UPDATE millrace.phases
           SET due_at = CASE WHEN ${IS_OVER} THEN now() + interval '1 second' ELSE due_at END,
               signal_at = CASE WHEN signal_at = 'infinity' THEN now() ELSE signal_at END
           WHERE id > $1 AND id <= $2 AND status IN ('pending', 'waiting') AND (${IS_OVER} OR signal_at = 'infinity')`,
    values: [flow.id, lastMemberId(flow.id)],
  });
}

// After the commit, each in a transaction of its own: should this process end here, the reconciler finds them.
async function withKeptSignals(
  database: Pick<Database, 'transaction' | 'main'>,
  flowId: string,
  events: readonly LoggedEvent[],
): Promise<{ kind: 'done'; events: LoggedEvent[]; dispatches: Dispatch[] }> {
  const kept = await database.main.query<{ name: string }>('SELECT name FROM millrace.signals WHERE flow_id = $1 AND NOT delivered', [
    flowId,
  ]);
  const outcome = { kind: 'done' as const, events: [...events], dispatches: [] as Dispatch[] };
  for (const { name } of kept.rows) {
    const delivery = await deliverKept(database, { flowId, name });
    outcome.events.push(...delivery.events);
    outcome.dispatches.push(...delivery.dispatches);
  }
  return outcome;
}

function eventData({ by, reason, until }: NewFlowPause): Record<string, unknown> {
  return { by, reason, until: until?.toISOString() ?? null };
}
