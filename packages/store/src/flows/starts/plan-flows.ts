// Makes the phases of flows that were started in SQL, in the transaction that reads them: what they are is asked of the caller, who knows the
// definitions. From then on they are like any other flow.
import { rankOf } from '@millrace/shared';
import { inTransaction, type Database, type Queryable } from '../../database.ts';
import { LOGGED_EVENT_JSON, type LoggedEvent } from '../../events/logged-event.ts';
import { DISPATCH_GRACE_MS, insertPhases, phaseRows, type NewPhase } from '../create-flows.ts';
import { appendEvents } from '../flow-change.ts';

export type UnplannedFlow = {
  id: string;
  workspace: string;
  name: string;
  input: unknown;
  priority: number;
  /** When it may start: its run_at, or when it was accepted. */
  startsAt: Date;
};

export type FlowPlanning =
  /** `expiresAt`: RFC 3339, or null when it waits for ever. */
  | { kind: 'planned'; version: number; phases: readonly NewPhase[]; timeoutMs: number | null; expiresAt: string | null }
  /** It can never run: it fails with this error. */
  | { kind: 'invalid'; error: { code: string; message: string } }
  /** Somebody else has to decide. */
  | { kind: 'later' };

export type PlanningPass = {
  /** Definitions that `plan` knows. */
  names: readonly string[];
  /** Flows of one pass. */
  limit: number;
  plan(flow: UnplannedFlow): FlowPlanning;
};

/** `taken`: flows that were looked at. `more`: the limit, or that of phases, cut the pass short. */
export type PlanningOutcome = { taken: number; planned: number; failed: number; more: boolean; events: LoggedEvent[] };

/** Phases of one pass; a wider flow goes alone. Keeps the statement within its time limit. */
const PHASES_PER_PASS_MAX = 20_000;
const NOTHING: PlanningOutcome = { taken: 0, planned: 0, failed: 0, more: false, events: [] };

/** Plans flows, oldest first. Any number of processes may do it: each flow is planned once. */
export async function planFlows(database: Pick<Database, 'main'>, pass: PlanningPass): Promise<PlanningOutcome> {
  // Nearly always there is nothing: that costs one look at an index, and no transaction.
  const waiting = await database.main.query("SELECT FROM millrace.flows WHERE NOT planned AND status = 'queued' LIMIT 1");
  if (waiting.rowCount === 0) return NOTHING;
  return inTransaction(database.main, async (client) => {
    const found = await lockUnplanned(client, pass);
    const { decided, cut } = decideAll(found, pass.plan);
    const planned = decided.flatMap(({ flow, planning }) => (planning.kind === 'planned' ? [{ flow, planning }] : []));
    const invalid = decided.flatMap(({ flow, planning }) => (planning.kind === 'invalid' ? [{ flow, error: planning.error }] : []));
    const events = planned.length === 0 ? [] : await writePlans(client, planned);
    for (const one of invalid) events.push(...(await failFlow(client, one)));
    return { taken: found.length, planned: planned.length, failed: invalid.length, more: cut || found.length >= pass.limit, events };
  });
}

async function lockUnplanned(client: Queryable, { names, limit }: PlanningPass): Promise<UnplannedFlow[]> {
  const result = await client.query<UnplannedFlow>({
    name: 'lock-unplanned',
    text: `
WITH found AS (
  SELECT f.id FROM unnest($1::text[]) AS n (name)
  CROSS JOIN LATERAL (SELECT id FROM millrace.flows WHERE name = n.name AND NOT planned AND status = 'queued' ORDER BY id LIMIT $2) f
  ORDER BY f.id LIMIT $2
)
SELECT id, workspace, name, input, priority, coalesce(run_at, created_at) AS "startsAt" FROM millrace.flows
WHERE id IN (SELECT id FROM found) AND NOT planned AND status = 'queued' ORDER BY id FOR UPDATE SKIP LOCKED`,
    values: [names, limit],
  });
  return result.rows;
}

type Decided = { flow: UnplannedFlow; planning: FlowPlanning };

function decideAll(flows: readonly UnplannedFlow[], plan: PlanningPass['plan']): { decided: Decided[]; cut: boolean } {
  const decided: Decided[] = [];
  let phaseCount = 0;
  for (const flow of flows) {
    const planning = plan(flow);
    if (planning.kind === 'planned') phaseCount += planning.phases.length;
    if (phaseCount > PHASES_PER_PASS_MAX && decided.length > 0) return { decided, cut: true };
    decided.push({ flow, planning });
  }
  return { decided, cut: false };
}

type Planned = { flow: UnplannedFlow; planning: Extract<FlowPlanning, { kind: 'planned' }> };

const WRITE_PLANS = `
WITH asked AS (
  SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[], $4::int[], $5::int[], $6::bigint[], $7::int[], $8::timestamptz[])
    AS a (id, version, phases, ready, runnable, rank, timeout_ms, expires_at)
), taken AS (
  UPDATE millrace.flows f
  SET planned = true, version = a.version, status = CASE WHEN a.runnable = 0 THEN 'waiting' ELSE 'queued' END, seq_last = f.seq_last + a.ready,
      phases_total = a.phases, phases_open = a.phases, phases_active = a.runnable, timeout_ms = a.timeout_ms,
      expires_at = coalesce(f.expires_at, a.expires_at), due_at = coalesce(f.expires_at, a.expires_at)
  FROM asked a WHERE f.id = a.id
  RETURNING f.id, f.workspace, f.priority, f.run_at, a.rank, jsonb_build_object('key', f.concurrency_key) AS extra, f.seq_last - a.ready AS seq_before
), rows AS (
  SELECT * FROM unnest($9::uuid[], $10::uuid[], $11::text[], $12::text[], $13::text[], $14::smallint[], $15::boolean[], $16::int[], $17::text[], $18::int[], $19::text[])
    AS p (flow_id, id, name, needs, dependants, attempt_max, direct, needs_open, signal, wait_timeout_ms, rate_key)
), rung AS (
  INSERT INTO millrace.admissions (workspace, kind, key)
  SELECT DISTINCT workspace, 'limit', extra->>'key' FROM taken WHERE extra->>'key' IS NOT NULL
  UNION SELECT DISTINCT t.workspace, 'rate', p.rate_key FROM rows p JOIN taken t ON t.id = p.flow_id WHERE p.rate_key IS NOT NULL
), phases AS (${insertPhases('rows', `${DISPATCH_GRACE_MS}`)}
), ready AS (
  SELECT flow_id, name, signal, row_number() OVER (PARTITION BY flow_id ORDER BY id) AS number FROM rows WHERE needs_open = 0
), logged AS (
  INSERT INTO millrace.events (subject_id, seq, workspace, type, phase, at, data)
  SELECT r.flow_id, t.seq_before + r.number, t.workspace, CASE WHEN r.signal IS NULL THEN 'phase.queued' ELSE 'phase.waiting' END, r.name, clock_timestamp(),
         CASE WHEN r.signal IS NULL THEN '{}' ELSE jsonb_build_object('signal', r.signal) END
  FROM ready r JOIN taken t ON t.id = r.flow_id
  RETURNING subject_id, seq, workspace, type, phase, at, data
)
SELECT coalesce(json_agg(${LOGGED_EVENT_JSON} ORDER BY subject_id, seq), '[]') AS events FROM logged`;

async function writePlans(client: Queryable, planned: readonly Planned[]): Promise<LoggedEvent[]> {
  // None goes straight to Redis: the dispatcher takes them from the backlog.
  const rows = planned.flatMap(({ flow, planning }) => phaseRows({ id: flow.id, flow: planning, directCount: 0 }));
  const ready = planned.map(({ planning }) => planning.phases.filter((phase) => phase.needs.length === 0));
  const result = await client.query<{ events: LoggedEvent[] }>({
    name: 'write-plans',
    text: WRITE_PLANS,
    values: [
      planned.map(({ flow }) => flow.id),
      planned.map(({ planning }) => planning.version),
      planned.map(({ planning }) => planning.phases.length),
      ready.map((phases) => phases.length),
      ready.map((phases) => phases.filter((phase) => phase.signal === null).length),
      planned.map(({ flow }) => rankOf(flow.id, flow.priority)),
      planned.map(({ planning }) => planning.timeoutMs),
      planned.map(({ planning }) => planning.expiresAt),
      rows.map((row) => row.flowId),
      rows.map((row) => row.id),
      rows.map((row) => row.name),
      rows.map((row) => row.needs),
      rows.map((row) => row.dependants),
      rows.map((row) => row.attemptMax),
      rows.map((row) => row.direct),
      rows.map((row) => row.needsOpen),
      rows.map((row) => row.signal),
      rows.map((row) => row.waitTimeoutMs),
      rows.map((row) => row.rateKey),
    ],
  });
  return result.rows[0]?.events ?? [];
}

// It stays unplanned: a retry plans it again, with whatever definition there is then.
async function failFlow(
  client: Queryable,
  { flow, error }: { flow: UnplannedFlow; error: { code: string; message: string } },
): Promise<LoggedEvent[]> {
  await client.query({
    name: 'fail-unplanned',
    text: "UPDATE millrace.flows SET status = 'failed', error = $2, due_at = NULL, finished_at = clock_timestamp() WHERE id = $1",
    values: [flow.id, JSON.stringify(error)],
  });
  return appendEvents(client, flow.id, [{ type: 'flow.failed', data: { error } }]);
}
