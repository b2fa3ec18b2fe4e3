// Pauses of queues: set, ended by hand, listed, and cleared away once their time is over. The statements that dispatch and claim look at the
// same rows: one whose `until` has passed does not count, whether it is still there or not. What a rate limit decides about is put off until the
// pause is over, so whoever changes one rings for it.
import type { QueueName } from '@millrace/shared';
import type pg from 'pg';
import { inTransaction, type Queryable } from '../database.ts';
import { ringForRates } from '../flows/admission/due-keys.ts';

/** The workspace of a pause that holds for everybody. */
export const EVERYBODY = '';

export type QueuePause = {
  queue: QueueName;
  /** Empty: it holds for everybody. */
  workspace: string;
  by: string;
  reason: string | null;
  at: Date;
  until: Date | null;
};

const COLUMNS = 'queue, workspace, paused_by AS by, reason, paused_at AS at, until';

/** SQL: the pause still holds. */
const HOLDS = '(until IS NULL OR until > now())';

/** A second pause takes the place of the first, with its owner, reason and end. */
export async function pauseQueue(main: pg.Pool, pause: Omit<QueuePause, 'at'>): Promise<void> {
  await inTransaction(main, async (client) => {
    await client.query({
      name: 'pause-queue',
      text: `INSERT INTO millrace.queue_pauses (queue, workspace, paused_by, reason, until) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (queue, workspace) DO UPDATE SET paused_by = excluded.paused_by, reason = excluded.reason, paused_at = now(), until = excluded.until`,
      values: [pause.queue, pause.workspace, pause.by, pause.reason, pause.until],
    });
    await ringForRates(client, pause.workspace);
  });
}

/** False when it was not paused in this scope. */
export async function resumeQueue(main: pg.Pool, target: { queue: QueueName; workspace: string }): Promise<boolean> {
  return inTransaction(main, async (client) => {
    const result = await client.query<{ held: boolean }>({
      name: 'resume-queue',
      text: `DELETE FROM millrace.queue_pauses WHERE queue = $1 AND workspace = $2 RETURNING ${HOLDS} AS held`,
      values: [target.queue, target.workspace],
    });
    await ringForRates(client, target.workspace);
    return result.rows[0]?.held === true;
  });
}

/** The pauses that a workspace's work meets: its own and those for everybody. */
export async function listQueuePauses(on: Queryable, workspace: string): Promise<QueuePause[]> {
  const result = await on.query<QueuePause>({
    name: 'list-queue-pauses',
    text: `SELECT ${COLUMNS} FROM millrace.queue_pauses WHERE workspace IN ($1, '${EVERYBODY}') AND ${HOLDS} ORDER BY queue, workspace`,
    values: [workspace],
  });
  return result.rows;
}

/** Clears away pauses whose time is over. They hold nothing any more, so it does not matter when. */
export async function deleteEndedPauses(on: Queryable): Promise<number> {
  const result = await on.query('DELETE FROM millrace.queue_pauses WHERE until <= now()');
  return result.rowCount ?? 0;
}
