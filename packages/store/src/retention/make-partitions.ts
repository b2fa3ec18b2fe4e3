// Makes the partitions of the months to come. Rows that came before their month had one are in the default partitions, and move.
import { inTransaction, type Database } from '../database.ts';

export type MadePartition = { parent: string; month: string; outcome: 'made' | 'too-many' };

/** Besides the present month. A worker that looks every hour has weeks for it, whatever happens. */
const MONTHS_AHEAD = 2;
/** Whoever makes, drops or empties partitions holds it until its transaction ends: once is enough, and two would wait for each other. */
export const UPKEEP_LOCK = 7_266_310_009;
/** How long everybody else may have to wait behind a lock that cannot be had at once. */
export const LOCK_WAIT_MS = 250;

/**
 * One transaction for each partition that is missing. Answers what was done; nothing when another process is at it.
 * @throws the driver's error with code 55P03 when a lock could not be had in LOCK_WAIT_MS: try again later
 */
export async function makePartitions(database: Pick<Database, 'long'>, now: Date): Promise<MadePartition[]> {
  const months = Array.from({ length: MONTHS_AHEAD + 1 }, (_, ahead) => monthOf(now, ahead));
  const missing = await database.long.query<{ parent: string; month: string }>(
    `SELECT t.name AS parent, m AS month FROM millrace.partitioned t CROSS JOIN unnest($1::text[]) m
     WHERE millrace.partition_of(t.name, millrace.first_id((m || 'T00:00:00Z')::timestamptz)) IS NULL ORDER BY m, t.position`,
    [months],
  );
  const done: MadePartition[] = [];
  for (const { parent, month } of missing.rows) {
    const outcome = await inTransaction(database.long, async (client) => {
      await client.query(`SET LOCAL lock_timeout = ${LOCK_WAIT_MS}`);
      const result = await client.query<{ outcome: string | null }>(
        'SELECT CASE WHEN pg_try_advisory_xact_lock($1) THEN millrace.make_partition($2, $3::date) END AS outcome',
        [UPKEEP_LOCK, parent, month],
      );
      return result.rows[0]?.outcome;
    });
    if (outcome === 'made' || outcome === 'too-many') done.push({ parent, month, outcome });
  }
  return done;
}

function monthOf(now: Date, ahead: number): string {
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead, 1)).toISOString().slice(0, 10);
}
