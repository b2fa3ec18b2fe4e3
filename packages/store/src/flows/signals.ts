// Signals to phases that wait for one: kept when they come early, delivered once, and then the phase is complete with what was sent.
import { isTerminalFlow, lastMemberId, type FlowStatus } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import type { LoggedEvent } from '../events/logged-event.ts';
import { completePhases, type CompletionOutcome } from './complete-phases.ts';
import { appendEvents, lockFlow, type LockedFlow } from './flow-change.ts';
import { wakePhases } from './wake-phases.ts';

export type NewSignal = {
  flowId: string;
  workspace: string;
  name: string;
  bodyJson: string;
  by: string;
};

export type SignalOutcome =
  | ({ kind: 'sent' } & Delivery)
  /** No such flow in this workspace, or none of its phases waits for a signal of this name. */
  | { kind: 'not-found' }
  | { kind: 'refused'; status: FlowStatus }
  /** The flow has got this signal before, in this run. */
  | { kind: 'already-sent' };

type Delivery = Pick<CompletionOutcome, 'dispatches' | 'events'>;

/** Who completes a phase on behalf of whoever sent its signal. */
const DELIVERER = 'signal';
const NOTHING: Delivery = { dispatches: [], events: [] };

/** @param isDeclared whether the definition says that its handlers wait for this signal, so that it may come before they do */
export async function sendSignal(
  database: Pick<Database, 'transaction'>,
  signal: NewSignal,
  isDeclared: (flow: { name: string; version: number }) => boolean = () => false,
): Promise<SignalOutcome> {
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, signal.flowId, signal.workspace);
    if (flow === undefined || !(isDeclared(flow) || (await isAwaited(client, flow.id, signal.name)))) return { kind: 'not-found' };
    if (isTerminalFlow(flow.status)) return { kind: 'refused', status: flow.status };
    const kept = await client.query({
      name: 'keep-signal',
      text: 'INSERT INTO millrace.signals (flow_id, run, name, workspace, body, sent_by) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING',
      values: [flow.id, flow.run, signal.name, flow.workspace, signal.bodyJson, signal.by],
    });
    if (kept.rowCount === 0) return { kind: 'already-sent' };
    return { kind: 'sent', ...(await deliverOrKeep(client, flow, signal.name)) };
  });
}

/**
 * Signals that came before their phase waited, or while their flow was paused, and may be delivered now. Costs nothing for those that nobody
 * waits for.
 */
export async function undeliveredSignals(on: Queryable, limit: number): Promise<{ flowId: string; name: string }[]> {
  const result = await on.query<{ flowId: string; name: string }>({
    name: 'undelivered-signals',
    text: `
SELECT p.flow_id AS "flowId", coalesce(p.signal, n.name) AS name
FROM (SELECT flow_id, signal, awaits FROM millrace.phases WHERE status = 'waiting' AND signal_at <= now() ORDER BY signal_at LIMIT $1) p
CROSS JOIN LATERAL jsonb_array_elements_text(CASE WHEN p.signal IS NULL THEN p.awaits->'names' ELSE '[""]' END) AS n (name)`,
    values: [limit],
  });
  return result.rows;
}

/** Delivers a signal that was kept, or notes when to look again. */
export async function deliverKept(database: Pick<Database, 'transaction'>, kept: { flowId: string; name: string }): Promise<Delivery> {
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, kept.flowId);
    return flow === undefined || isTerminalFlow(flow.status) ? NOTHING : deliverOrKeep(client, flow, kept.name);
  });
}

// The flow's row is locked, so no phase of it begins to wait between the look and the note.
async function deliverOrKeep(client: Queryable, flow: LockedFlow, name: string): Promise<Delivery> {
  const mayDeliver = flow.is_due && flow.status !== 'paused' && (await isKept(client, flow, name));
  const delivery = mayDeliver ? await deliver(client, flow, name) : NOTHING;
  await client.query({
    name: 'note-signal',
    text: `
UPDATE millrace.phases p
SET signal_at = CASE WHEN NOT EXISTS (SELECT FROM millrace.signals s WHERE s.flow_id = f.id AND s.run = f.run AND s.name = $3 AND NOT s.delivered) THEN NULL
                     WHEN f.status = 'paused' THEN 'infinity' ELSE coalesce(f.run_at, now()) END
FROM millrace.flows f
WHERE f.id = $1 AND p.id > $1 AND p.id <= $2 AND p.status IN ('pending', 'waiting') AND (p.signal = $3 OR p.awaits->'names' ? $3)`,
    values: [flow.id, lastMemberId(flow.id), name],
  });
  return delivery;
}

async function isKept(client: Queryable, { id, run }: LockedFlow, name: string): Promise<boolean> {
  const found = await client.query('SELECT FROM millrace.signals WHERE flow_id = $1 AND run = $2 AND name = $3 AND NOT delivered', [
    id,
    run,
    name,
  ]);
  return found.rowCount === 1;
}

async function isAwaited(client: Queryable, flowId: string, name: string): Promise<boolean> {
  const found = await client.query(
    "SELECT FROM millrace.phases WHERE id > $1 AND id <= $2 AND (signal = $3 OR awaits->'names' ? $3) LIMIT 1",
    [flowId, lastMemberId(flowId), name],
  );
  return found.rowCount === 1;
}

// The waiting phase is claimed and completed in one transaction, so that the statement that completes phases stays the only one that does.
async function deliver(client: Queryable, flow: LockedFlow, name: string): Promise<Delivery> {
  const claimed = await client.query<{ id: string; fence: string; body: string }>({
    name: 'claim-waiting',
    text: `
UPDATE millrace.phases p SET status = 'running', fence = fence + 1, lease_owner = $4, due_at = NULL, started_at = coalesce(p.started_at, clock_timestamp())
FROM millrace.signals s
WHERE s.flow_id = $1 AND s.run = $5 AND s.name = $3 AND p.id > $1 AND p.id <= $2 AND p.status = 'waiting' AND p.signal = $3
RETURNING p.id, p.fence, s.body::text AS body`,
    values: [flow.id, lastMemberId(flow.id), name, DELIVERER, flow.run],
  });
  const woken = await wake(client, flow, name);
  if (claimed.rows.length === 0) return woken;
  await client.query('UPDATE millrace.signals SET delivered = true WHERE flow_id = $1 AND run = $2 AND name = $3', [
    flow.id,
    flow.run,
    name,
  ]);
  const started = await begin(client, flow, claimed.rows.length);
  const completions = claimed.rows.map((row) => ({ id: row.id, fence: Number(row.fence), worker: DELIVERER, outputJson: row.body }));
  const outcome = await completePhases(client, completions, { dispatch: true });
  return { dispatches: [...woken.dispatches, ...outcome.dispatches], events: [...woken.events, ...started, ...outcome.events] };
}

// A handler that waits for it reads it when it runs again.
async function wake(client: Queryable, flow: LockedFlow, name: string): Promise<Delivery> {
  const waiting = await client.query<{ id: string }>({
    name: 'suspended-for-signal',
    text: "SELECT id FROM millrace.phases WHERE id > $1 AND id <= $2 AND status = 'waiting' AND awaits->'names' ? $3",
    values: [flow.id, lastMemberId(flow.id), name],
  });
  if (waiting.rows.length === 0) return NOTHING;
  await client.query('UPDATE millrace.signals SET delivered = true WHERE flow_id = $1 AND run = $2 AND name = $3', [
    flow.id,
    flow.run,
    name,
  ]);
  return wakePhases(client, { ids: waiting.rows.map((row) => row.id), reason: 'woken' });
}

/** The body of a signal that this run of the flow has got, as JSON text; undefined when it has not come. */
export async function readSignal(
  on: Queryable,
  { flowId, run, name }: { flowId: string; run: number; name: string },
): Promise<{ body: unknown } | undefined> {
  const result = await on.query<{ body: unknown }>({
    name: 'read-signal',
    text: 'UPDATE millrace.signals SET delivered = true WHERE flow_id = $1 AND run = $2 AND name = $3 RETURNING body',
    values: [flowId, run, name],
  });
  return result.rows[0];
}

// A flow whose first phase waits begins with its signal: no claim of a worker starts its time, as it does for all others.
async function begin(client: Queryable, flow: LockedFlow, phaseCount: number): Promise<LoggedEvent[]> {
  const before = await client.query<{ isFirst: boolean }>({
    name: 'begin-by-signal',
    text: `WITH old AS (SELECT id, status, started_at FROM millrace.flows WHERE id = $1)
           UPDATE millrace.flows f SET phases_active = f.phases_active + $2, started_at = coalesce(f.started_at, clock_timestamp()),
                  due_at = CASE WHEN f.started_at IS NULL OR f.due_at IS NULL THEN clock_timestamp() + f.timeout_ms * interval '1 millisecond' ELSE f.due_at END,
                  status = CASE WHEN f.status = 'queued' THEN 'running' ELSE f.status END
           FROM old WHERE f.id = old.id RETURNING old.status = 'queued' OR old.started_at IS NULL AS "isFirst"`,
    values: [flow.id, phaseCount],
  });
  return before.rows[0]?.isFirst === true ? appendEvents(client, flow.id, [{ type: 'flow.started' }]) : [];
}
