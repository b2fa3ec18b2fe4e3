// Phases whose flow no live worker knows in its version: held in PostgreSQL instead of going round through the queue, and let go by the first
// worker that holds the code. A table of absent definitions keeps the question cheap for every worker that has nothing to do with it.
import { groupIdOf } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import type { LoggedEvent } from '../events/logged-event.ts';
import { appendEvents, lockFlow } from '../flows/flow-change.ts';
import { TAKES_WORK, type HeldDefinition } from './announce-worker.ts';

const RENEWED_MAX = 10_000;

export type PhaseOfAbsentCode = {
  id: string;
  fence: number;
  worker: string;
  definition: HeldDefinition;
  /** For the event. */
  reason: string;
};

/**
 * Gives a claimed phase back and holds it until a worker announces the code, at no cost of an attempt.
 * Undefined, and nothing is changed, when a live worker holds the code, or when the phase is not this worker's any more.
 */
export async function holdForCode(
  database: Pick<Database, 'transaction'>,
  phase: PhaseOfAbsentCode,
): Promise<{ events: LoggedEvent[] } | undefined> {
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, groupIdOf(phase.id));
    if (flow === undefined || flow.status === 'paused' || (await isHeldByAnyone(client, phase.definition))) return undefined;
    const held = await client.query<{ name: string }>({
      name: 'hold-for-code',
      text: `
WITH mine AS (
  SELECT id, workspace, attempts, fence, lease_owner, started_at FROM millrace.phases WHERE id = $1 AND fence = $2 AND lease_owner = $3 AND status = 'running' FOR UPDATE
), tried AS (
  INSERT INTO millrace.attempts (phase_id, fence, workspace, attempt, run, worker, outcome, started_at)
  SELECT id, fence, workspace, attempts + 1, $4, lease_owner, 'interrupted', started_at FROM mine
)
UPDATE millrace.phases p SET status = 'queued', generation = p.generation + 1, dispatched = false, held = 'worker', due_at = NULL, lease_owner = NULL
FROM mine WHERE p.id = mine.id RETURNING p.name`,
      values: [phase.id, phase.fence, phase.worker, flow.run],
    });
    const row = held.rows[0];
    if (row === undefined) return undefined;
    await client.query(
      `INSERT INTO millrace.absent_definitions (name, version, held_at) VALUES ($1, $2, clock_timestamp())
       ON CONFLICT (name, version) DO UPDATE SET held_at = excluded.held_at`,
      [phase.definition.name, phase.definition.version],
    );
    return { events: await appendEvents(client, flow.id, [{ type: 'phase.queued', phase: row.name, data: { reason: phase.reason } }]) };
  });
}

async function isHeldByAnyone(on: Queryable, definition: HeldDefinition): Promise<boolean> {
  const found = await on.query(`SELECT FROM millrace.workers WHERE ${TAKES_WORK} AND definitions @> $1::jsonb LIMIT 1`, [
    JSON.stringify([definition]),
  ]);
  return found.rowCount === 1;
}

/**
 * Lets go up to `limit` phases of each definition that was absent and that the caller holds: they are in the backlog then, or held for the next reason.
 * Answers how many there were.
 */
export async function releaseForCode(
  database: Pick<Database, 'main'>,
  definitions: readonly HeldDefinition[],
  limit: number,
): Promise<number> {
  const absent = await database.main.query<HeldDefinition & { heldAt: string }>({
    name: 'absent-definitions',
    text: `SELECT a.name, a.version, a.held_at::text AS "heldAt" FROM millrace.absent_definitions a
           JOIN unnest($1::text[], $2::int[]) AS d (name, version) USING (name, version)`,
    values: [definitions.map(({ name }) => name), definitions.map(({ version }) => version)],
  });
  let count = 0;
  for (const definition of absent.rows) {
    const released = await releasePhasesOf(database.main, definition, limit);
    count += released;
    // Unless one was held meanwhile: then the time is another, and the next look finds it.
    if (released < limit)
      await database.main.query('DELETE FROM millrace.absent_definitions WHERE name = $1 AND version = $2 AND held_at = $3::timestamptz', [
        definition.name,
        definition.version,
        definition.heldAt,
      ]);
  }
  return count;
}

async function releasePhasesOf(on: Queryable, { name, version }: HeldDefinition, limit: number): Promise<number> {
  const result = await on.query<{ count: number }>({
    name: 'release-for-code',
    text: `
WITH found AS (
  SELECT p.id, p.flow_id FROM millrace.phases p JOIN millrace.flows f ON f.id = p.flow_id
  WHERE p.status = 'queued' AND p.held = 'worker' AND f.name = $1 AND f.version = $2 ORDER BY p.id LIMIT $3
), locked AS (
  SELECT id, status, admitted FROM millrace.flows WHERE id = ANY(ARRAY(SELECT flow_id FROM found)) ORDER BY id FOR UPDATE
), released AS (
  UPDATE millrace.phases p
  SET held = CASE WHEN l.status = 'paused' THEN 'pause' WHEN NOT l.admitted THEN 'limit' WHEN p.rate_key IS NOT NULL THEN 'rate' END
  FROM found JOIN locked l ON l.id = found.flow_id
  WHERE p.id = found.id AND p.status = 'queued' AND p.held = 'worker'
  RETURNING p.workspace, p.held, p.rate_key
), admissions AS (
  INSERT INTO millrace.admissions (workspace, kind, key)
  SELECT DISTINCT workspace, 'rate', rate_key FROM released WHERE held = 'rate' ORDER BY 1, 3 ON CONFLICT DO NOTHING
)
SELECT count(*)::int AS count FROM found`,
    values: [name, version, limit],
  });
  return result.rows[0]?.count ?? 0;
}

/**
 * Names the definitions of held phases again, should their names have been lost: a phase may come back as held after its definition was
 * cleared away, when its flow is run anew. Looks at a bounded number of phases.
 */
export async function renewAbsent(on: Queryable): Promise<number> {
  const result = await on.query(`
INSERT INTO millrace.absent_definitions (name, version, held_at)
SELECT DISTINCT f.name, f.version, now() FROM (
  SELECT flow_id FROM millrace.phases WHERE status = 'queued' AND held = 'worker' ORDER BY id LIMIT ${RENEWED_MAX}) p JOIN millrace.flows f ON f.id = p.flow_id
ON CONFLICT DO NOTHING`);
  return result.rowCount ?? 0;
}
