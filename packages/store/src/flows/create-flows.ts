// Accepts flows: one statement for many, with phases, first events and idempotency keys. After its commit they are the truth.
import { AppError, memberId, newGroupId, rankOf, type Dispatch } from '@millrace/shared';
import { bytesColumn, plainColumn, textColumn } from '../array-literal.ts';
import type { Queryable } from '../database.ts';

/** One phase as planned: ordinals count from 0 within the flow. */
export type NewPhase = {
  name: string;
  needs: readonly number[];
  dependants: readonly number[];
  attemptMax: number;
  /** The signal it waits for instead of running, and for how long; null: it runs, or it waits for ever. */
  signal: string | null;
  waitTimeoutMs: number | null;
  /** The rate limit that decides about its dispatch, if there is one. */
  rateKey?: string | null;
};

/** What only some flows have. */
export type FlowExtras = {
  /** At most `limit` flows of this key run at a time in the workspace, first in first out. */
  concurrency?: { key: string; limit: number };
  /** RFC 3339: the flow fails when it has not started by then. */
  expiresAt?: string;
  /** The longest time from its start to its end. */
  timeoutMs?: number;
  /** The phase that started it. `key` is unique among the children of one run of that phase. */
  parent?: { phaseId: string; run: number; key: string; policy: 'fail' | 'continue' | 'ignore'; awaited: boolean; depth: number };
  scheduleId?: string;
};

export type NewFlow = {
  workspace: string;
  createdBy: string;
  name: string;
  version: number;
  /** JSON text that was checked to be storable. */
  inputJson: string;
  tags: Readonly<Record<string, string>>;
  priority: number;
  /** Null: now. */
  runAt: string | null;
  phases: readonly NewPhase[];
  extras?: FlowExtras;
  idempotency: { route: string; key: string; bodyHash: Buffer } | null;
  /** Whether the ready phases may go to Redis at once. When false they stay in the backlog. */
  dispatch: boolean;
  /** Makes the answer that a replay of the idempotency key gets. */
  respond(flowId: string): { status: number; body: unknown };
};

export type CreatedFlow =
  | { kind: 'created'; flowId: string; status: number; body: unknown; dispatches: Dispatch[] }
  | { kind: 'replayed'; status: number; body: unknown }
  | { kind: 'key-reused' };

/** Ready phases of one new flow that go straight to Redis; a wider flow's rest is fed in by the dispatcher. */
export const DIRECT_DISPATCH_MAX = 100;
/** Time a dispatched job has to be claimed before the reconciler looks for it. */
export const DISPATCH_GRACE_MS = 5_000;

/**
 * SQL that inserts phases of the flows in `taken`: (id, workspace, priority, run_at, rank, extra) with the concurrency key, if any, in `extra`.
 * @param rows columns of phaseRows, unnested
 * @param graceMs what a dispatched phase has to be claimed
 */
export const insertPhases = (rows: string, graceMs: string) => `
  INSERT INTO millrace.phases (id, flow_id, workspace, name, status, priority, needs, dependants, needs_open, attempt_max, signal, wait_timeout_ms, generation, dispatched, rank, rate_key, held, due_at)
  SELECT p.id, p.flow_id, t.workspace, p.name, CASE WHEN p.needs_open > 0 THEN 'pending' WHEN p.signal IS NULL THEN 'queued' ELSE 'waiting' END, t.priority,
         p.needs::uuid[], p.dependants::uuid[], p.needs_open, p.attempt_max, p.signal, p.wait_timeout_ms, CASE WHEN p.direct THEN 1 ELSE 0 END, p.direct, t.rank, p.rate_key,
         CASE WHEN p.needs_open > 0 OR p.signal IS NOT NULL THEN NULL WHEN t.extra->>'key' IS NOT NULL THEN 'limit' WHEN p.rate_key IS NOT NULL THEN 'rate' END,
         CASE WHEN p.direct THEN now() + ${graceMs} * interval '1 millisecond' WHEN p.needs_open > 0 THEN NULL
              WHEN p.signal IS NULL THEN t.run_at ELSE greatest(t.run_at, now()) + p.wait_timeout_ms * interval '1 millisecond' END
  FROM ${rows} AS p (flow_id, id, name, needs, dependants, attempt_max, direct, needs_open, signal, wait_timeout_ms, rate_key)
  JOIN taken t ON t.id = p.flow_id`;

const INSERT_FLOWS = `
WITH asked AS (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::jsonb[], $6::jsonb[], $7::smallint[], $8::timestamptz[], $9::int[], $10::text[],
                       $11::text[], $12::text[], $13::bytea[], $14::smallint[], $15::jsonb[], $16::int[], $17::int[], $29::bigint[], $30::jsonb[], $32::json[])
    AS a (id, workspace, name, version, input, tags, priority, run_at, phases, created_by, route, key, body_hash, status, response, ready, runnable, rank, extra, entries)
), keyed AS (
  INSERT INTO millrace.idempotency_keys (workspace, route, key, body_hash, status, response)
  SELECT workspace, route, key, body_hash, status, response FROM asked WHERE key IS NOT NULL ORDER BY workspace, route, key
  ON CONFLICT (workspace, route, key) DO UPDATE
    SET body_hash = excluded.body_hash, status = excluded.status, response = excluded.response, created_at = now()
    WHERE idempotency_keys.created_at < now() - interval '24 hours'
  RETURNING workspace, route, key
), taken AS (
  SELECT a.* FROM asked a WHERE a.key IS NULL OR EXISTS (SELECT FROM keyed k WHERE (k.workspace, k.route, k.key) = (a.workspace, a.route, a.key))
), flows AS (
  INSERT INTO millrace.flows (id, workspace, name, version, status, input, tags, priority, run_at, seq_last, phases_total, phases_open, phases_active, created_by,
    concurrency_key, concurrency_limit, admitted, expires_at, due_at, timeout_ms, parent_phase_id, parent_run, child_key, child_policy, child_awaited, depth, schedule_id)
  SELECT id, workspace, name, version, CASE WHEN runnable = 0 THEN 'waiting' ELSE 'queued' END, input, tags, priority, run_at,
         1 + ready, phases, phases, runnable, created_by,
         extra->>'key', coalesce((extra->>'limit')::int, 1), extra->>'key' IS NULL, (extra->>'expiresAt')::timestamptz, (extra->>'expiresAt')::timestamptz, (extra->>'timeoutMs')::int,
         (extra->>'parentPhaseId')::uuid, (extra->>'parentRun')::int, extra->>'childKey', extra->>'childPolicy', coalesce((extra->>'childAwaited')::boolean, false),
         coalesce((extra->>'depth')::smallint, 0), (extra->>'scheduleId')::uuid
  FROM taken
), held AS (
  INSERT INTO millrace.admissions (workspace, kind, key)
  SELECT DISTINCT workspace, 'limit', extra->>'key' FROM taken WHERE extra->>'key' IS NOT NULL
  UNION SELECT DISTINCT t.workspace, 'rate', p.rate_key FROM unnest($18::uuid[], $31::text[]) AS p (flow_id, rate_key) JOIN taken t ON t.id = p.flow_id WHERE p.rate_key IS NOT NULL
  ORDER BY 1, 2, 3
  ON CONFLICT DO NOTHING
), phases AS (${insertPhases('unnest($18::uuid[], $19::uuid[], $20::text[], $21::text[], $22::text[], $23::smallint[], $24::boolean[], $25::int[], $26::text[], $27::int[], $31::text[])', '$28::int')}
), logged AS (
  INSERT INTO millrace.event_log (subject_id, at, seq, workspace, entries) SELECT id, clock_timestamp(), 1 + ready, workspace, entries FROM taken
)
SELECT id FROM taken`;

/**
 * Inserts all flows in one transaction. Answers one outcome per flow in order.
 * Two flows of one batch with the same idempotency key: the first is made, the second is its replay.
 */
export async function createFlows(on: Queryable, flows: readonly NewFlow[]): Promise<CreatedFlow[]> {
  const prepared = flows.map((flow) => prepare(flow));
  const first = firstOfEachKey(prepared);
  const taken = first.length === 0 ? new Set<string>() : await insert(on, first);
  if (taken.size === prepared.length) return prepared.map((entry) => created(entry));
  return Promise.all(prepared.map(async (entry) => (taken.has(entry.id) ? created(entry) : earlier(on, entry))));
}

type Prepared = { flow: NewFlow; id: string; status: number; body: unknown; rows: readonly PhaseRow[]; ready: number; runnable: number };

function prepare(flow: NewFlow): Prepared {
  const id = newGroupId();
  const { status, body } = flow.respond(id);
  const directCount = flow.dispatch && flow.runAt === null && flow.extras?.concurrency === undefined ? DIRECT_DISPATCH_MAX : 0;
  const rows = phaseRows({ id, flow, directCount });
  let [ready, runnable] = [0, 0];
  for (const { needsOpen, signal } of rows) {
    if (needsOpen > 0) continue;
    ready += 1;
    if (signal === null) runnable += 1;
  }
  return { flow, id, status, body, rows, ready, runnable };
}

function firstOfEachKey(entries: readonly Prepared[]): Prepared[] {
  const seen = new Set<string>();
  return entries.filter(({ flow }) => {
    if (flow.idempotency === null) return true;
    const scope = JSON.stringify([flow.workspace, flow.idempotency.route, flow.idempotency.key]);
    if (seen.has(scope)) return false;
    seen.add(scope);
    return true;
  });
}

async function insert(on: Queryable, entries: readonly Prepared[]): Promise<Set<string>> {
  const rows = entries.flatMap((entry) => entry.rows);
  const result = await on.query<{ id: string }>({
    name: 'create-flows',
    text: INSERT_FLOWS,
    values: [
      plainColumn(entries, (entry) => entry.id),
      textColumn(entries, (entry) => entry.flow.workspace),
      textColumn(entries, (entry) => entry.flow.name),
      plainColumn(entries, (entry) => entry.flow.version),
      textColumn(entries, (entry) => entry.flow.inputJson),
      textColumn(entries, (entry) => JSON.stringify(entry.flow.tags)),
      plainColumn(entries, (entry) => entry.flow.priority),
      textColumn(entries, (entry) => entry.flow.runAt),
      plainColumn(entries, (entry) => entry.rows.length),
      textColumn(entries, (entry) => entry.flow.createdBy),
      textColumn(entries, (entry) => entry.flow.idempotency?.route ?? null),
      textColumn(entries, (entry) => entry.flow.idempotency?.key ?? null),
      bytesColumn(entries, (entry) => entry.flow.idempotency?.bodyHash ?? null),
      plainColumn(entries, (entry) => entry.status),
      textColumn(entries, (entry) => (entry.flow.idempotency === null ? null : JSON.stringify(entry.body))),
      plainColumn(entries, (entry) => entry.ready),
      plainColumn(entries, (entry) => entry.runnable),
      plainColumn(rows, (row) => row.flowId),
      plainColumn(rows, (row) => row.id),
      textColumn(rows, (row) => row.name),
      textColumn(rows, (row) => row.needs),
      textColumn(rows, (row) => row.dependants),
      plainColumn(rows, (row) => row.attemptMax),
      plainColumn(rows, (row) => row.direct),
      plainColumn(rows, (row) => row.needsOpen),
      textColumn(rows, (row) => row.signal),
      plainColumn(rows, (row) => row.waitTimeoutMs),
      DISPATCH_GRACE_MS,
      plainColumn(entries, (entry) => rankOf(entry.id, entry.flow.priority)),
      textColumn(entries, (entry) => extrasJson(entry.flow.extras)),
      textColumn(rows, (row) => row.rateKey),
      textColumn(entries, ({ flow }) => firstEvents(flow)),
    ],
  });
  return new Set(result.rows.map((row) => row.id));
}

// What the log says of a new flow: that it is queued, and which of its phases are ready.
function firstEvents({ name, version, phases }: NewFlow): string {
  const ready = phases.filter((phase) => phase.needs.length === 0);
  return JSON.stringify([
    ['flow.queued', null, { flow: name, version }],
    ...ready.map((phase) =>
      phase.signal === null ? ['phase.queued', phase.name, {}] : ['phase.waiting', phase.name, { signal: phase.signal }],
    ),
  ]);
}

type PhaseRow = {
  flowId: string;
  id: string;
  name: string;
  needs: string;
  dependants: string;
  attemptMax: number;
  direct: boolean;
  needsOpen: number;
  signal: string | null;
  waitTimeoutMs: number | null;
  rateKey: string | null;
};

/** The rows of a flow's phases; the first `directCount` that are ready and free to go are dispatched at once. */
export function phaseRows(entry: { id: string; flow: { phases: readonly NewPhase[] }; directCount: number }): PhaseRow[] {
  let direct = 0;
  return entry.flow.phases.map((phase, ordinal) => {
    const goesDirectly =
      phase.needs.length === 0 && phase.signal === null && (phase.rateKey ?? null) === null && direct < entry.directCount;
    if (goesDirectly) direct += 1;
    return {
      flowId: entry.id,
      id: memberId(entry.id, ordinal),
      name: phase.name,
      needs: uuidArray(entry.id, phase.needs),
      dependants: uuidArray(entry.id, phase.dependants),
      attemptMax: phase.attemptMax,
      direct: goesDirectly,
      needsOpen: phase.needs.length,
      signal: phase.signal,
      waitTimeoutMs: phase.waitTimeoutMs,
      rateKey: phase.rateKey ?? null,
    };
  });
}

function extrasJson(extras: FlowExtras | undefined): string | null {
  if (extras === undefined) return null;
  const { concurrency, parent, ...rest } = extras;
  const child = parent && {
    parentPhaseId: parent.phaseId,
    parentRun: parent.run,
    childKey: parent.key,
    childPolicy: parent.policy,
    childAwaited: parent.awaited,
    depth: parent.depth,
  };
  return JSON.stringify({ ...rest, ...concurrency, ...child });
}

// unnest cannot take an array of arrays of different lengths, so inner arrays travel as their text form.
function uuidArray(flowId: string, ordinals: readonly number[]): string {
  return ordinals.length === 0 ? '{}' : `{${ordinals.map((ordinal) => memberId(flowId, ordinal)).join(',')}}`;
}

function created(entry: Prepared): CreatedFlow {
  return { kind: 'created', flowId: entry.id, status: entry.status, body: entry.body, dispatches: directDispatches(entry) };
}

/** What a flow that was not inserted met: its idempotency key was used before. */
async function earlier(on: Queryable, entry: Prepared): Promise<CreatedFlow> {
  const { idempotency, workspace } = entry.flow;
  if (idempotency === null) throw new Error('a flow without idempotency key was not inserted');
  const found = await on.query<{ body_hash: Buffer; status: number; response: unknown }>({
    name: 'read-idempotency-key',
    text: 'SELECT body_hash, status, response FROM millrace.idempotency_keys WHERE workspace = $1 AND route = $2 AND key = $3',
    values: [workspace, idempotency.route, idempotency.key],
  });
  const row = found.rows[0];
  if (row === undefined) throw new AppError('idempotency-in-progress', { retryAfterSeconds: 1 });
  return row.body_hash.equals(idempotency.bodyHash) ? { kind: 'replayed', status: row.status, body: row.response } : { kind: 'key-reused' };
}

function directDispatches({ flow, rows }: Prepared): Dispatch[] {
  return rows
    .filter((row) => row.direct)
    .map((row) => ({
      id: row.id,
      generation: 1,
      workspace: flow.workspace,
      priority: flow.priority,
      attempts: row.attemptMax,
      delayMs: 0,
    }));
}
