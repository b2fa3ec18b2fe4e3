// Workers say that they are alive, what they can run and how busy they are. Who reads it decides what silence means.
import type { QueueName } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import { SOON } from './soon.ts';

export type HeldDefinition = { name: string; version: number };

export type WorkerAnnouncement = {
  id: string;
  host: string;
  pid: number;
  startedAt: Date;
  /** Phases it may run at a time. */
  concurrency: number;
  running: number;
  stopping: boolean;
  queues: readonly QueueName[];
  definitions: readonly HeldDefinition[];
};

/** A worker that has not announced itself for this long counts as dead: three announcements and a reserve. */
export const WORKER_DEAD_MS = 15_000;
/** Rows of dead workers are kept this long, for those who ask what became of them. */
const DEAD_KEPT = '1 day';

/** SQL: whether the worker of this row is alive. */
const IS_ALIVE = `seen_at > now() - interval '${WORKER_DEAD_MS} milliseconds'`;
/** SQL: whether the worker of this row takes work. */
export const TAKES_WORK = `(${IS_ALIVE} AND NOT stopping)`;

/** SQL: the worker of this id was heard of after this time, or has said that it stops: that it lost something by then was no crash. */
export function hasOutlived(worker: string, time: string): string {
  return `EXISTS (SELECT FROM millrace.workers w WHERE w.id = ${worker} AND (w.stopping OR w.seen_at > ${time}))`;
}

/** SQL: the worker of this id does not count as dead yet. */
export function isHeardOf(worker: string): string {
  return `EXISTS (SELECT FROM millrace.workers w WHERE w.id = ${worker} AND ${IS_ALIVE})`;
}

/** Writes the worker's row as a whole, so that it is complete even after someone deleted it. */
export async function announceWorker(on: Queryable, worker: WorkerAnnouncement): Promise<void> {
  await on.query({
    name: 'announce-worker',
    text: `
INSERT INTO millrace.workers (id, host, pid, started_at, seen_at, concurrency, running, stopping, queues, definitions)
VALUES ($1, $2, $3, $4, now(), $5, $6, $7, $8, $9)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, concurrency = excluded.concurrency, running = excluded.running,
  stopping = excluded.stopping, queues = excluded.queues, definitions = excluded.definitions`,
    values: [
      worker.id,
      worker.host,
      worker.pid,
      worker.startedAt,
      worker.concurrency,
      worker.running,
      worker.stopping,
      worker.queues,
      JSON.stringify(worker.definitions),
    ],
  });
}

/**
 * A worker that ends takes its row with it. When it could not give back all its phases, the row stays and says that it stopped: whoever finds
 * them must not take it for dead.
 */
export async function removeWorker(on: Queryable, id: string): Promise<void> {
  const left = await on.query(
    `UPDATE millrace.workers SET stopping = true
     WHERE id = $1 AND EXISTS (SELECT FROM millrace.phases WHERE ${SOON} AND status = 'running' AND lease_owner = $1)`,
    [id],
  );
  if (left.rowCount === 0) await on.query('DELETE FROM millrace.workers WHERE id = $1', [id]);
}

/** Forgets workers that have been dead for a day. */
export async function deleteDeadWorkers(on: Queryable): Promise<number> {
  const result = await on.query(`DELETE FROM millrace.workers WHERE seen_at < now() - interval '${DEAD_KEPT}'`);
  return result.rowCount ?? 0;
}
