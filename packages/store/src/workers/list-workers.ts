// Reads the workers with what each of them has leases for just now.
import type { Queryable } from '../database.ts';
import { WORKER_DEAD_MS, type HeldDefinition } from './announce-worker.ts';
import { SOON, SOON_ROWS_MAX } from './soon.ts';

export type StoredWorker = {
  id: string;
  host: string;
  pid: number;
  started_at: Date;
  seen_at: Date;
  alive: boolean;
  concurrency: number;
  running: number;
  stopping: boolean;
  queues: string[];
  definitions: HeldDefinition[];
  /** The oldest first, at most `WORK_SHOWN_MAX` in all. Instants as PostgreSQL writes them in JSON. */
  work: WorkerWork[];
};

export type WorkerWork = {
  queue: 'flow-phase' | 'data-import';
  id: string;
  /** The flow or import. */
  subject_id: string;
  workspace: string;
  /** The phase's name; of a chunk its number. */
  name: string;
  started_at: string;
  lease_until: string;
};

const WORK_SHOWN_MAX = 100;

/** At most `limit` workers in the order of their ids, those after `after`. */
export async function listWorkers(on: Queryable, { after, limit }: { after: string | null; limit: number }): Promise<StoredWorker[]> {
  const result = await on.query<StoredWorker>({
    name: 'list-workers',
    text: `
WITH page AS (
  SELECT * FROM millrace.workers WHERE $1::text IS NULL OR id > $1 ORDER BY id LIMIT $2
), work AS (
  SELECT lease_owner, 'flow-phase' AS queue, id, flow_id AS subject_id, workspace, name, started_at, due_at FROM (
    SELECT * FROM millrace.phases WHERE ${SOON} ORDER BY due_at LIMIT $3) p WHERE status = 'running'
  UNION ALL
  SELECT lease_owner, 'data-import', id, import_id, workspace, ordinal::text, started_at, due_at FROM (
    SELECT * FROM millrace.import_chunks WHERE ${SOON} ORDER BY due_at LIMIT $3) c WHERE status = 'running'
), ordered AS (
  SELECT *, row_number() OVER (PARTITION BY lease_owner ORDER BY started_at, id) AS position FROM work WHERE lease_owner = ANY(ARRAY(SELECT id FROM page))
)
SELECT w.id, w.host, w.pid, w.started_at, w.seen_at, w.seen_at > now() - interval '${WORKER_DEAD_MS} milliseconds' AS alive,
  w.concurrency, w.running, w.stopping, w.queues, w.definitions,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('queue', o.queue, 'id', o.id, 'subject_id', o.subject_id, 'workspace', o.workspace, 'name', o.name,
     'started_at', o.started_at, 'lease_until', o.due_at) ORDER BY o.position), '[]') FROM ordered o WHERE o.lease_owner = w.id AND o.position <= ${WORK_SHOWN_MAX}) AS work
FROM page w ORDER BY w.id`,
    values: [after, limit, SOON_ROWS_MAX],
  });
  return result.rows;
}
