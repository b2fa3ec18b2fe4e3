// Reads what PostgreSQL knows about a job: the phase or chunk it delivers, where that stands, and the attempts so far.
import type { PhaseStatus } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import { DISPATCH_GRACE_MS } from '../flows/create-flows.ts';

export type StoredAttempt = {
  attempt: number;
  run: number;
  worker: string;
  outcome: string;
  error: { code: string; message: string } | null;
  started_at: string;
  finished_at: string;
};

export type StoredJob = {
  queue: 'flow-phase' | 'data-import';
  id: string;
  /** The flow or import. */
  subject_id: string;
  /** The flow's name, or the import's dataset. */
  subject_name: string;
  /** The phase's name; of a chunk its number. */
  name: string;
  /** Of a chunk `done` is told as completed. */
  status: PhaseStatus;
  generation: number;
  dispatched: boolean;
  /** Its job is to come later than at once. */
  is_delayed: boolean;
  attempts: number;
  attempt_max: number | null;
  priority: number | null;
  worker: string | null;
  error: { code: string; message: string } | null;
  due_at: Date | null;
  started_at: Date | null;
  finished_at: Date | null;
  /** The last ones that did not complete it, the latest first. */
  history: StoredAttempt[];
};

const ATTEMPTS_SHOWN_MAX = 50;

/** The phase or chunk with this id. Undefined when there is none in this workspace. */
export async function readJob(on: Queryable, target: { id: string; workspace: string }): Promise<StoredJob | undefined> {
  return (await readPhaseJob(on, target)) ?? readChunkJob(on, target);
}

async function readPhaseJob(on: Queryable, { id, workspace }: { id: string; workspace: string }): Promise<StoredJob | undefined> {
  const result = await on.query<StoredJob>({
    name: 'read-phase-job',
    text: `
SELECT 'flow-phase' AS queue, p.id, p.flow_id AS subject_id, f.name AS subject_name, p.name, p.status, p.generation, p.dispatched,
  (p.dispatched AND p.due_at > now() + interval '${DISPATCH_GRACE_MS + 1_000} milliseconds') IS TRUE AS is_delayed,
  p.attempts, p.attempt_max, p.priority, p.lease_owner AS worker, p.error - 'stack' AS error, CASE WHEN isfinite(p.due_at) THEN p.due_at END AS due_at, p.started_at, p.finished_at,
  (SELECT coalesce(jsonb_agg(to_jsonb(t) - 'fence' ORDER BY t.fence DESC), '[]') FROM (
     SELECT fence, attempt, run, worker, outcome, error - 'stack' AS error, started_at, finished_at FROM millrace.attempts
     WHERE phase_id = p.id ORDER BY fence DESC LIMIT ${ATTEMPTS_SHOWN_MAX}) t) AS history
FROM millrace.phases p JOIN millrace.flows f ON f.id = p.flow_id WHERE p.id = $1 AND p.workspace = $2`,
    values: [id, workspace],
  });
  return result.rows[0];
}

async function readChunkJob(on: Queryable, { id, workspace }: { id: string; workspace: string }): Promise<StoredJob | undefined> {
  const result = await on.query<StoredJob>({
    name: 'read-chunk-job',
    text: `
SELECT 'data-import' AS queue, c.id, c.import_id AS subject_id, i.dataset AS subject_name, c.ordinal::text AS name,
  CASE c.status WHEN 'done' THEN 'completed' ELSE c.status END AS status, c.generation, c.dispatched,
  (c.dispatched AND c.due_at > now() + interval '${DISPATCH_GRACE_MS + 1_000} milliseconds') IS TRUE AS is_delayed,
  c.attempts, NULL::int AS attempt_max, NULL::int AS priority, c.lease_owner AS worker, NULL::jsonb AS error, c.due_at, c.started_at, c.finished_at, '[]'::jsonb AS history
FROM millrace.import_chunks c JOIN millrace.imports i ON i.id = c.import_id WHERE c.id = $1 AND c.workspace = $2`,
    values: [id, workspace],
  });
  return result.rows[0];
}
