// A worker takes phases: mints their fences, starts their leases and flows, and answers what the handlers need. One statement for many.
import { groupIdOf, jobIdOf, type JobRef } from '@millrace/shared';
import type pg from 'pg';
import { eventsOfRun, type EventSubject, type LoggedEvent } from '../events/logged-event.ts';
import type { HeldDefinition } from '../workers/announce-worker.ts';
import { idBounds } from './id-bounds.ts';
import { isQueuePaused } from './readiness.ts';

export type ClaimedPhase = {
  id: string;
  flowId: string;
  workspace: string;
  flow: string;
  version: number;
  run: number;
  name: string;
  generation: number;
  priority: number;
  fence: number;
  /** The API key that started the flow. */
  createdBy: string;
  /** 1 for the first attempt. */
  attempt: number;
  attemptMax: number;
  /** How often a process died under it. */
  crashes: number;
  /** Since when it has been interrupted again and again without an end of its own. */
  interruptedAt: Date | null;
  input: unknown;
  /** Results of the phases it needs, by name; null when they are too large to come with the claim: read them with readOutputs. */
  outputs: Record<string, unknown> | null;
  startedAt: Date;
};

export type ClaimResult =
  | { kind: 'claimed'; phase: ClaimedPhase }
  /** Finished, cancelled, dispatched anew since, or gone: this delivery has nothing to do. */
  | { kind: 'stale' }
  /** Someone's lease is still alive, or the phase may not start yet. */
  | { kind: 'not-yet'; untilMs: number };

/**
 * `subjects`: the flows that have new events. `events` are made anew each time they are asked for. `absent`: definitions of phases that were not
 * claimed because the worker lacks their code: they are held from now on, say so with noteAbsent.
 */
export type ClaimOutcome = { results: ClaimResult[]; subjects: EventSubject[]; readonly events: LoggedEvent[]; absent: HeldDefinition[] };

/** `holds`: definitions that the worker can run, as codeKeys makes it. Absent: all. */
export type ClaimLease = { worker: string; leaseMs: number; holds?: string };

/** A batch of claims is one answer of the server: what each may bring is bounded, so that all together stay far below the longest string there can be. */
export const OUTPUTS_WITH_CLAIM_BYTES_MAX = 262_144;

const OUTPUTS = `CASE WHEN cardinality(c.needs) = 0 THEN '{}'
    WHEN (SELECT sum(octet_length(n.output::text)) FROM millrace.phases n WHERE n.id = ANY(c.needs)) > ${OUTPUTS_WITH_CLAIM_BYTES_MAX} THEN 'null'
    ELSE (SELECT coalesce(json_object_agg(n.name, n.output) FILTER (WHERE n.status = 'completed'), '{}') FROM millrace.phases n WHERE n.id = ANY(c.needs))::text END`;

// Phases as JSON put together as text: their names need no escapes, and functions that make JSON of anything cost more than the claim itself.
const CLAIM = `
WITH asked AS (
  SELECT * FROM unnest($1::uuid[], $2::int[], $3::uuid[]) AS a (id, generation, flow_id)
), locked AS (
  SELECT id, status, timeout_ms, ${isQueuePaused('workspace')} AS queue_paused, $8::jsonb IS NULL OR $8::jsonb ? (name || '@' || version) AS known
  FROM millrace.flows
  WHERE id = ANY($3) AND id BETWEEN $6::uuid AND $7::uuid ORDER BY id FOR UPDATE
), parked AS (
  UPDATE millrace.phases p
  SET status = 'queued', generation = p.generation + 1, dispatched = false, due_at = NULL,
      held = CASE WHEN f.status = 'paused' THEN 'pause' WHEN NOT f.queue_paused THEN 'worker' END
  FROM asked a JOIN locked f ON f.id = a.flow_id AND (f.status = 'paused' OR f.queue_paused OR NOT f.known)
  WHERE p.id = a.id AND p.id = ANY($1) AND p.id BETWEEN $6::uuid AND $7::uuid AND p.generation = a.generation AND p.status IN ('queued', 'retrying')
), claimed AS (
  UPDATE millrace.phases p
  SET status = 'running', fence = p.fence + 1, lease_owner = $4, due_at = now() + $5::int * interval '1 millisecond', dispatched = true,
      alone = false, awaits = NULL, started_at = clock_timestamp(), error = NULL
  FROM asked a JOIN locked f ON f.id = a.flow_id AND f.status IN ('queued', 'running', 'waiting') AND NOT f.queue_paused AND f.known
  WHERE p.id = a.id AND p.id = ANY($1) AND p.id BETWEEN $6::uuid AND $7::uuid AND p.generation = a.generation
    AND (p.status = 'queued' OR (p.status = 'retrying' AND p.due_at <= now() + interval '1 second'))
  RETURNING p.id, p.generation, p.flow_id, p.name, p.fence, p.attempts, p.attempt_max, p.priority, p.crashes, p.interrupted_at, p.needs, p.started_at
), starts AS (
  SELECT c.flow_id, count(*)::int AS count,
         string_agg('["phase.started","' || c.name || '",{"attempt":' || (c.attempts + 1) || ',"worker":' || to_json($4::text) || '}]', ',' ORDER BY c.id) AS entries,
         string_agg('["' || c.id || '",' || c.generation || ',"' || c.name || '",' || c.priority || ',' || c.fence || ',' || (c.attempts + 1) || ',' || c.attempt_max || ','
                    || c.crashes || ',' || coalesce(to_json(c.interrupted_at)::text, 'null') || ',' || ${OUTPUTS} || ']', ',') AS phases
  FROM claimed c GROUP BY c.flow_id
), flows AS (
  UPDATE millrace.flows f
  SET status = 'running', started_at = coalesce(f.started_at, clock_timestamp()),
      due_at = CASE WHEN l.status = 'queued' THEN clock_timestamp() + l.timeout_ms * interval '1 millisecond' ELSE f.due_at END,
      seq_last = f.seq_last + s.count + CASE WHEN l.status = 'queued' THEN 1 ELSE 0 END
  FROM starts s JOIN locked l ON l.id = s.flow_id
  WHERE f.id = s.flow_id AND f.id = ANY($3) AND f.id BETWEEN $6::uuid AND $7::uuid
  RETURNING f.id, f.workspace, f.name, f.version, f.run, f.created_by, f.input, f.seq_last, s.phases,
            '[' || CASE WHEN l.status = 'queued' THEN '["flow.started",null,{}],' ELSE '' END || s.entries || ']' AS entries
), logged AS (
  INSERT INTO millrace.event_log (subject_id, at, seq, workspace, entries)
  SELECT id, statement_timestamp(), seq_last, workspace, entries::json FROM flows
)
SELECT id, workspace, name, version, run, created_by AS "createdBy", input, seq_last AS seq, (SELECT to_json(statement_timestamp())#>>'{}') AS at, entries, phases FROM flows`;

// Told apart only for the few that were not claimed. Running and retrying phases always have a due_at; asking for it, or for the flow's
// status before the rows were found by their ids (OFFSET 0 keeps the two apart), would only offer the planner an index over all of them.
const EXPLAIN_REFUSED = `
SELECT p.id, a.generation, p.held, f.name, f.version, greatest(0, ceil(extract(epoch FROM p.due_at - now()) * 1000))::int AS "untilMs"
FROM unnest($1::uuid[], $2::int[]) AS a (id, generation)
JOIN millrace.phases p ON p.id = a.id AND p.id = ANY($1::uuid[])
JOIN (SELECT id, status, name, version FROM millrace.flows WHERE id = ANY($3::uuid[]) OFFSET 0) f ON f.id = p.flow_id
WHERE f.status IN ('queued', 'running', 'waiting') AND CASE WHEN p.status IN ('running', 'retrying') THEN p.generation = a.generation
  ELSE p.status = 'queued' AND p.held = 'worker' AND p.generation = a.generation + 1 END`;

/**
 * Claims phases for `worker` with a lease of `leaseMs`. Answers one result per delivery in order, and the events it wrote.
 * Flow rows are locked in id order before anything else, as every statement that changes flows does: that is what keeps them from deadlocking.
 */
export async function claimPhases(hot: pg.Pool, deliveries: readonly JobRef[], lease: ClaimLease): Promise<ClaimOutcome> {
  const { rows } = await hot.query<ClaimedRow>({
    name: 'claim-phases',
    text: CLAIM,
    values: [
      deliveries.map((job) => job.id),
      deliveries.map((job) => job.generation),
      deliveries.map((job) => groupIdOf(job.id)),
      lease.worker,
      lease.leaseMs,
      ...idBounds(deliveries.map((job) => job.id)),
      lease.holds ?? null,
    ],
  });
  const claimed = new Map(rows.flatMap(phasesOf).map((phase) => [jobIdOf(phase), phase]));
  // Each claim is given out once: a batch may hold an older generation of the same phase, or the same delivery a second time.
  const phases = deliveries.map((job) => takeOut(claimed, jobIdOf(job)));
  const refused = deliveries.filter((_, index) => phases[index] === undefined);
  const explained = refused.length === 0 ? [] : await explainRefused(hot, refused);
  const waits = new Map(explained.flatMap((row) => (row.held === null ? [[jobIdOf(row), row.untilMs]] : [])));
  return {
    results: deliveries.map((job, index) => toResult(phases[index], waits.get(jobIdOf(job)))),
    subjects: rows.map(({ id: subjectId, workspace }) => ({ subjectId, workspace })),
    get events() {
      return rows.flatMap((row) => eventsOfRun({ ...row, subjectId: row.id }));
    },
    absent: definitionsOf(explained),
  };
}

/** A flow of which phases were claimed: what they share, what the log says of it, and JSON of the phases without the outer brackets. */
type ClaimedRow = Pick<ClaimedPhase, 'workspace' | 'version' | 'run' | 'createdBy' | 'input'> & {
  id: string;
  name: string;
  seq: number;
  at: string;
  entries: string;
  phases: string;
};
type PhaseRow = [
  id: string,
  generation: number,
  name: string,
  priority: number,
  fence: number,
  attempt: number,
  attemptMax: number,
  crashes: number,
  interruptedAt: string | null,
  outputs: Record<string, unknown> | null,
];

function phasesOf({ id: flowId, workspace, name: flow, version, run, createdBy, input, at, phases }: ClaimedRow): ClaimedPhase[] {
  const rows = JSON.parse(`[${phases}]`) as PhaseRow[];
  return rows.map(([id, generation, name, priority, fence, attempt, attemptMax, crashes, interruptedAt, outputs]) => ({
    id,
    flowId,
    workspace,
    flow,
    version,
    run,
    name,
    generation,
    priority,
    fence,
    createdBy,
    attempt,
    attemptMax,
    crashes,
    interruptedAt: interruptedAt === null ? null : new Date(interruptedAt),
    input,
    outputs,
    startedAt: new Date(at),
  }));
}

function takeOut<Value>(from: Map<string, Value>, key: string): Value | undefined {
  const value = from.get(key);
  from.delete(key);
  return value;
}

function toResult(phase: ClaimedPhase | undefined, untilMs: number | undefined): ClaimResult {
  if (phase !== undefined) return { kind: 'claimed', phase };
  return untilMs === undefined ? { kind: 'stale' } : { kind: 'not-yet', untilMs };
}

/** `held`: for want of its code, as this claim has left it; null: somebody has it, or it is to be tried again later. */
type RefusedRow = JobRef & HeldDefinition & { held: 'worker' | null; untilMs: number };

async function explainRefused(hot: pg.Pool, refused: readonly JobRef[]): Promise<RefusedRow[]> {
  const result = await hot.query<RefusedRow>({
    name: 'explain-refused',
    text: EXPLAIN_REFUSED,
    values: [refused.map((job) => job.id), refused.map((job) => job.generation), refused.map((job) => groupIdOf(job.id))],
  });
  return result.rows;
}

function definitionsOf(refused: readonly RefusedRow[]): HeldDefinition[] {
  const held = refused.filter((row) => row.held !== null);
  return [...new Map(held.map(({ name, version }) => [`${name}@${version}`, { name, version }])).values()];
}
