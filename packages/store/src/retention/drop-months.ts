// Months in which no flow is to be kept any more: their partitions are detached from all tables, looked through once more, and dropped.
import { inTransaction, type Database, type PoolClient, type Queryable } from '../database.ts';
import { LOCK_WAIT_MS, UPKEEP_LOCK } from './make-partitions.ts';
import { ENDED, flowOfPhase, type Retention } from './retention-rules.ts';

/** `kept`: flows that changed in the last moment and were brought back. */
export type DroppedMonth = { month: string; kept: number };

/** A month is `_2026_12`, or `_until_2026_11` for all up to then. */
type Month = { suffix: string; lowest: string | null; bound: string };

const NIL_ID = '00000000-0000-0000-0000-000000000000';

/**
 * SQL: this flow `f` is to be kept. Parameters 1 to 4: names, ages in milliseconds (null: the default) and archiving of the rules, and the
 * default age (null: for ever). Flows that are to be archived stay until they are. A child stays as long as its parent, unless that goes with it.
 * @param parentGoes SQL: whether the parent `p` is in the same month
 */
const isKept = (parentGoes: string) => `(
  f.status NOT IN ${ENDED} OR f.finished_at IS NULL OR coalesce(r.archive, false)
  OR coalesce(f.finished_at >= now() - coalesce(r.age_ms, $4::bigint) * interval '1 millisecond', true)
  OR (f.parent_phase_id IS NOT NULL AND EXISTS (SELECT FROM millrace.flows p WHERE p.id = ${flowOfPhase('f.parent_phase_id')} AND NOT ${parentGoes})))`;
const RULES = 'LEFT JOIN unnest($1::text[], $2::bigint[], $3::boolean[]) AS r (name, age_ms, archive) ON r.name = f.name';

/** Drops at most one month, the oldest that can go, and first what a process that died left detached. Undefined: there was nothing to drop. */
export async function dropMonth(database: Pick<Database, 'long'>, retention: Retention): Promise<DroppedMonth | undefined> {
  const left = await detachedMonth(database.long);
  if (left !== undefined) return dispose(database, { month: left, retention });
  for (const month of await pastMonths(database.long)) {
    if (await hasKept(database.long, { month, retention })) continue;
    if (!(await detach(database, month.suffix))) return undefined;
    return dispose(database, { month, retention });
  }
  return undefined;
}

async function pastMonths(on: Queryable): Promise<Month[]> {
  const result = await on.query<Month>(
    `SELECT substr(name, length(parent) + 1) AS suffix, lowest, bound FROM millrace.partitions
     WHERE parent = 'flows' AND bound <= millrace.first_id(now() - interval '1 day') ORDER BY bound`,
  );
  return result.rows;
}

async function hasKept(on: Queryable, { month, retention }: { month: Month; retention: Retention }): Promise<boolean> {
  const parentGoes = '(p.id >= $5::uuid AND p.id < $6::uuid)';
  const result = await on.query<{ kept: boolean }>(
    `SELECT EXISTS (SELECT FROM millrace."flows${month.suffix}" f ${RULES} WHERE ${isKept(parentGoes)}) AS kept`,
    [...ruleValues(retention), month.lowest ?? NIL_ID, month.bound],
  );
  return result.rows[0]?.kept ?? true;
}

function ruleValues({ rules, defaultAgeMs }: Retention): unknown[] {
  return [rules.map((rule) => rule.name), rules.map((rule) => rule.ageMs), rules.map((rule) => rule.archive), defaultAgeMs];
}

/**
 * Detaches a month from all tables at once. Each is locked for everybody for a moment, so a lock that cannot be had soon is given up: false.
 * DETACH CONCURRENTLY would not do: PostgreSQL refuses it where there is a default partition.
 */
async function detach(database: Pick<Database, 'long'>, suffix: string): Promise<boolean> {
  return inTransaction(database.long, async (client) => {
    await client.query(`SET LOCAL lock_timeout = ${LOCK_WAIT_MS}`);
    if (!(await takeUpkeepLock(client))) return false;
    // In the order in which the statements of the engine take them, so that they wait for each other rather than deadlock.
    for (const { parent } of (await partitionsOf(client, suffix)).toReversed()) {
      await client.query(`ALTER TABLE millrace."${parent}" DETACH PARTITION millrace."${parent}${suffix}"`);
    }
    return true;
  });
}

async function takeUpkeepLock(client: Queryable): Promise<boolean> {
  const result = await client.query<{ taken: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS taken', [UPKEEP_LOCK]);
  return result.rows[0]?.taken ?? false;
}

type Dropped = { parent: string; key: string };

/** The tables whose months are dropped, children of flows first; the archive is not among them. */
async function partitionsOf(on: Queryable, suffix: string): Promise<Dropped[]> {
  const result = await on.query<Dropped>(
    `SELECT name AS parent, key FROM millrace.partitioned WHERE position < 100 AND to_regclass(format('millrace.%I', name || $1)) IS NOT NULL ORDER BY position`,
    [suffix],
  );
  return result.rows;
}

async function detachedMonth(on: Queryable): Promise<Month | undefined> {
  const result = await on.query<{ suffix: string }>(
    `SELECT substr(c.relname, 6) AS suffix FROM pg_class c WHERE c.relnamespace = 'millrace'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
     AND c.relname ~ '^flows_(until_)?\\d{4}_\\d{2}$' ORDER BY 1 LIMIT 1`,
  );
  const suffix = result.rows[0]?.suffix;
  if (suffix === undefined) return undefined;
  const bounds = await on.query<Omit<Month, 'suffix'>>(
    `SELECT CASE WHEN $1 ~ 'until' THEN NULL ELSE millrace.first_id((m || '-01T00:00:00Z')::timestamptz) END AS lowest,
            millrace.first_id((m || '-01T00:00:00Z')::timestamptz + interval '1 month') AS bound
     FROM (SELECT replace(right($1, 7), '_', '-') AS m) AS named`,
    [suffix],
  );
  const found = bounds.rows[0];
  return found && { suffix, ...found };
}

// What changed between the look and the detaching is brought back, into the default partitions: a failed flow may have been retried. So are the
// events of imports, which are kept with their import.
async function dispose(
  database: Pick<Database, 'long'>,
  { month, retention }: { month: Month; retention: Retention },
): Promise<DroppedMonth | undefined> {
  const { suffix } = month;
  return inTransaction(database.long, async (client) => {
    if (!(await takeUpkeepLock(client))) return undefined;
    await client.query(
      `CREATE TEMP TABLE kept_flows ON COMMIT DROP AS SELECT f.id FROM millrace."flows${suffix}" f ${RULES} WHERE ${isKept('false')}`,
      ruleValues(retention),
    );
    const tables = await partitionsOf(client, suffix);
    const count = await client.query<{ count: number }>('SELECT count(*)::int AS count FROM kept_flows');
    const kept = count.rows[0]?.count ?? 0;
    if (kept > 0) await bringBack(client, { tables, suffix });
    await client.query(
      `INSERT INTO millrace.event_log SELECT e.* FROM millrace."event_log${suffix}" e JOIN millrace.imports i ON i.id = e.subject_id
       WHERE i.id >= $1 AND i.id < $2`,
      [month.lowest ?? NIL_ID, month.bound],
    );
    for (const { parent } of tables) await client.query(`DROP TABLE millrace."${parent}${suffix}"`);
    return { month: suffix.slice(1).replaceAll('_', '-'), kept };
  });
}

async function bringBack(client: PoolClient, { tables, suffix }: { tables: readonly Dropped[]; suffix: string }): Promise<void> {
  for (const { parent, key } of tables.toReversed()) {
    await client.query(
      `INSERT INTO millrace."${parent}" SELECT t.* FROM millrace."${parent}${suffix}" t WHERE ${flowOfPhase(`t."${key}"`)} IN (SELECT id FROM kept_flows)`,
    );
  }
}
