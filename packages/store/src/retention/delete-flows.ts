// Deletes ended flows that are to be kept no longer, with everything that belongs to them, some at a time. What is deleted is gone in one
// transaction, archived or not, so a process that dies leaves nothing half done.
import { inTransaction, type Database, type PoolClient, type Queryable } from '../database.ts';
import { archiveFlows } from './archive-flows.ts';
import { BY_MONTH_MS_MIN, ENDED, flowOfPhase, ruleFor, type Retention } from './retention-rules.ts';

/** Flows of one definition in one workspace. */
export type Lane = { workspace: string; name: string };

/** Flows of one lane below an id that have ended long enough ago; or, whenever they ended, those up to `countedOut`. */
export type Expiry = { lane: Lane; below: string; endedBefore: Date | null; countedOut: string | null; archive: boolean };

export type DeletedBatch = { deleted: number; archived: number; last: string | null };

/** One transaction: so many flows, or as many as have so many phases together. */
const FLOWS_MAX = 500;
const PHASES_MAX = 20_000;
/** For so long a month that could go is left to whoever drops months, before its flows are deleted one by one: something in it may be kept longer. */
const DROP_DAYS = 3;

/** Lanes after one, in order, `limit` of them. Costs one look into the index for each. */
export async function retentionLanes(on: Queryable, { after, limit }: { after: Lane | null; limit: number }): Promise<Lane[]> {
  const result = await on.query<Lane>(
    `WITH RECURSIVE lanes AS (
       (SELECT workspace, name, 1 AS position FROM millrace.flows WHERE (workspace, name) > ($1, $2) ORDER BY workspace, name LIMIT 1)
       UNION ALL
       SELECT n.workspace, n.name, l.position + 1 FROM lanes l CROSS JOIN LATERAL (
         SELECT workspace, name FROM millrace.flows WHERE (workspace, name) > (l.workspace, l.name) ORDER BY workspace, name LIMIT 1) n
       WHERE l.position < $3
     ) SELECT workspace, name FROM lanes ORDER BY position`,
    [after?.workspace ?? '', after?.name ?? '', limit],
  );
  return result.rows;
}

/** What of a lane may go now. Undefined: nothing, whatever it holds. */
export async function expiryOf(
  on: Queryable,
  { lane, retention, now }: { lane: Lane; retention: Retention; now: Date },
): Promise<Expiry | undefined> {
  const { ageMs, count, archive } = ruleFor(retention, lane.name);
  const endedBefore = ageMs === null ? null : new Date(now.getTime() - ageMs);
  const byMonth = ageMs !== null && ageMs >= BY_MONTH_MS_MIN && !archive;
  const result = await on.query<{ by_age: string | null; counted_out: string | null }>(
    `SELECT millrace.first_id(CASE WHEN $4 THEN date_trunc('month', ($3::timestamptz - interval '${DROP_DAYS} days') AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' ELSE $3::timestamptz END) AS by_age,
       CASE WHEN $5::int IS NOT NULL THEN (
         SELECT id FROM millrace.flows WHERE workspace = $1 AND name = $2 AND status IN ${ENDED} ORDER BY id DESC OFFSET $5::int LIMIT 1) END AS counted_out`,
    [lane.workspace, lane.name, endedBefore, byMonth, count],
  );
  const byAge = result.rows[0]?.by_age ?? null;
  const countedOut = result.rows[0]?.counted_out ?? null;
  if (byAge === null && countedOut === null) return undefined;
  // Both bounds are uuids in the same spelling, whose order is that of their text.
  const below = [byAge, countedOut === null ? null : after(countedOut)]
    .filter((id) => id !== null)
    .toSorted()
    .at(-1);
  return below === undefined ? undefined : { lane, below, endedBefore, countedOut, archive };
}

// A flow's last 16 bits are zero, so the id of its first phase is above it and below every later flow.
function after(flowId: string): string {
  return `${flowId.slice(0, -4)}0001`;
}

/** One batch: flows above `after` in the order of their ids. `last`: where to go on; null: there are no more. */
export async function deleteExpired(database: Pick<Database, 'long'>, expiry: Expiry, after: string | null): Promise<DeletedBatch> {
  const found = await findExpired(database.long, expiry, after);
  const picked = pickBatch(found);
  const last = picked.length < found.length || found.length === FLOWS_MAX ? (picked.at(-1)?.id ?? null) : null;
  if (picked.length === 0) return { deleted: 0, archived: 0, last: null };
  return inTransaction(database.long, async (client) => {
    const ids = await lockEnded(client, picked, expiry);
    const archived = expiry.archive ? await archiveFlows(client, ids) : 0;
    await deleteFlows(client, ids);
    return { deleted: ids.length, archived, last };
  });
}

type Candidate = { id: string; phases: number };

async function findExpired(on: Queryable, { lane, below, endedBefore, countedOut }: Expiry, after: string | null): Promise<Candidate[]> {
  const result = await on.query<Candidate>(
    `SELECT f.id, f.phases_total AS phases FROM millrace.flows f
     WHERE f.workspace = $1 AND f.name = $2 AND f.id < $3::uuid AND ($4::uuid IS NULL OR f.id > $4::uuid) AND ${isExpired('$5', '$6')}
       AND (f.parent_phase_id IS NULL OR NOT EXISTS (SELECT FROM millrace.flows p WHERE p.id = ${flowOfPhase('f.parent_phase_id')}))
     ORDER BY f.id LIMIT ${FLOWS_MAX}`,
    [lane.workspace, lane.name, below, after, endedBefore, countedOut],
  );
  return result.rows;
}

const isExpired = (endedBefore: string, countedOut: string) =>
  `(f.status IN ${ENDED} AND (coalesce(f.finished_at < ${endedBefore}::timestamptz, false) OR coalesce(f.id <= ${countedOut}::uuid, false)))`;

function pickBatch(found: readonly Candidate[]): Candidate[] {
  let phases = 0;
  return found.filter((flow, index) => {
    phases += flow.phases;
    return index === 0 || phases <= PHASES_MAX;
  });
}

// Those that somebody works on just now, or that were retried meanwhile, are left alone; the next pass sees them again.
async function lockEnded(client: PoolClient, picked: readonly Candidate[], { endedBefore, countedOut }: Expiry): Promise<string[]> {
  const result = await client.query<{ id: string }>(
    `SELECT f.id FROM millrace.flows f WHERE f.id = ANY($1::uuid[]) AND ${isExpired('$2', '$3')} ORDER BY f.id FOR UPDATE SKIP LOCKED`,
    [picked.map((flow) => flow.id), endedBefore, countedOut],
  );
  return result.rows.map((row) => row.id);
}

/** The tables whose rows belong to a phase, and those whose rows belong to a flow; the flow itself comes last. */
const OF_PHASES = [
  ['children', 'parent_phase_id'],
  ['attempts', 'phase_id'],
  ['steps', 'phase_id'],
  ['phases', 'id'],
] as const;
const OF_FLOWS = [
  ['event_log', 'subject_id'],
  ['signals', 'flow_id'],
  ['cancellations', 'flow_id'],
  ['flows', 'id'],
] as const;

async function deleteFlows(client: PoolClient, ids: readonly string[]): Promise<void> {
  const phases = await client.query<{ id: string }>(
    // OFFSET 0 keeps it a look at the primary key for each flow.
    `SELECT p.id FROM unnest($1::uuid[]) AS f (id)
     CROSS JOIN LATERAL (SELECT id FROM millrace.phases WHERE id > f.id AND id <= overlay(f.id::text PLACING 'ffff' FROM 33)::uuid OFFSET 0) p`,
    [ids],
  );
  const phaseIds = phases.rows.map((row) => row.id);
  for (const [table, key] of OF_PHASES) await client.query(`DELETE FROM millrace.${table} WHERE ${key} = ANY($1::uuid[])`, [phaseIds]);
  for (const [table, key] of OF_FLOWS) await client.query(`DELETE FROM millrace.${table} WHERE ${key} = ANY($1::uuid[])`, [ids]);
}
