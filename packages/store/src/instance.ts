// Which history this database is: the epoch that event ids carry, and the secret that signs cursors.
import { createHash } from 'node:crypto';
import type { Queryable } from './database.ts';

export type Instance = {
  /** 12 hex digits: the same from every process, another one when the database was restored from a copy. */
  epoch: string;
  cursorSecret: Buffer;
};

/**
 * The epoch is a hash of the id made at the first migration, the cluster's system identifier (new after a dump is loaded into another
 * cluster) and its timeline (new after a recovery to a point in time), so it needs no one to notice the restore.
 */
export async function readInstance(on: Queryable): Promise<Instance> {
  const result = await on.query<{ id: string; cursor_secret: Buffer; system: string; timeline: number }>(
    `SELECT i.id, i.cursor_secret, s.system_identifier::text AS system, c.timeline_id AS timeline
     FROM millrace.instance i, pg_control_system() s, pg_control_checkpoint() c`,
  );
  const row = result.rows[0];
  if (row === undefined) throw new Error('millrace.instance has no row');
  const epoch = createHash('sha256').update(`${row.id} ${row.system} ${row.timeline}`).digest('hex').slice(0, 12);
  return { epoch, cursorSecret: row.cursor_secret };
}
