// Phases that came to a worker without their code: held in PostgreSQL instead of going round through the queue. Where every live worker holds
// the code by now they go back to the backlog; where only some do, as during a deployment, those take them without the queue, which
// would hand them to the others again. A table of absent definitions keeps the question cheap for every worker that has nothing to do with it.
import type { JobRef } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import { DISPATCH_GRACE_MS } from '../flows/create-flows.ts';
import { holdOfFlow, isQueuePaused } from '../flows/readiness.ts';
import { TAKES_WORK, type HeldDefinition } from './announce-worker.ts';

const RENEWED_MAX = 10_000;

/** What claimPhases takes for `holds`: these definitions as keys of a JSON object. */
export function codeKeys(definitions: readonly HeldDefinition[]): string {
  return JSON.stringify(Object.fromEntries(definitions.map(({ name, version }) => [`${name}@${version}`, 1])));
}

/** Writes down that phases are held for want of these, so that a worker that holds one of them finds out. */
export async function noteAbsent(on: Queryable, definitions: readonly HeldDefinition[]): Promise<void> {
  await on.query({
    name: 'note-absent',
    text: `INSERT INTO millrace.absent_definitions (name, version, held_at) SELECT name, version, clock_timestamp() FROM unnest($1::text[], $2::int[]) AS d (name, version)
           ORDER BY 1, 2 ON CONFLICT (name, version) DO UPDATE SET held_at = excluded.held_at`,
    values: columnsOf(definitions),
  });
}

export type CodeRelease = {
  /** Phases that are in the backlog now, or held for another reason. */
  released: number;
  /** Phases for the caller to run at once: they are as good as dispatched, but in no queue. */
  taken: JobRef[];
  /** As many were taken as might be, so that there may be more. */
  isFull: boolean;
};

type AbsentDefinition = HeldDefinition & { heldAt: string; everybody: boolean };

/**
 * Lets go phases of definitions that were absent and that the caller holds: up to `releaseMax` of each to the backlog when every live worker
 * holds it, else up to `takeMax` in all to the caller.
 */
export async function releaseForCode(
  on: Queryable,
  definitions: readonly HeldDefinition[],
  { releaseMax, takeMax }: { releaseMax: number; takeMax: number },
): Promise<CodeRelease> {
  const outcome: CodeRelease = { released: 0, taken: [], isFull: false };
  for (const definition of await absentAmong(on, definitions)) {
    const limit = definition.everybody ? releaseMax : takeMax - outcome.taken.length;
    const found = limit <= 0 ? { count: 0, taken: [] } : await releasePhasesOf(on, definition, limit);
    outcome.released += found.count - found.taken.length;
    outcome.taken.push(...found.taken);
    if (found.count < limit) await forget(on, definition);
    else if (!definition.everybody) outcome.isFull = true;
  }
  return outcome;
}

async function absentAmong(on: Queryable, definitions: readonly HeldDefinition[]): Promise<AbsentDefinition[]> {
  const result = await on.query<AbsentDefinition>({
    name: 'absent-definitions',
    text: `
SELECT a.name, a.version, a.held_at::text AS "heldAt", NOT EXISTS (
  SELECT FROM millrace.workers WHERE ${TAKES_WORK} AND NOT definitions @> jsonb_build_array(jsonb_build_object('name', a.name, 'version', a.version))) AS everybody
FROM millrace.absent_definitions a JOIN unnest($1::text[], $2::int[]) AS d (name, version) USING (name, version) ORDER BY a.held_at`,
    values: columnsOf(definitions),
  });
  return result.rows;
}

// Unless one was held meanwhile: then the time is another, and the next look finds it.
async function forget(on: Queryable, { name, version, heldAt }: AbsentDefinition): Promise<void> {
  await on.query('DELETE FROM millrace.absent_definitions WHERE name = $1 AND version = $2 AND held_at = $3::timestamptz', [
    name,
    version,
    heldAt,
  ]);
}

function columnsOf(definitions: readonly HeldDefinition[]): [string[], number[]] {
  return [definitions.map(({ name }) => name), definitions.map(({ version }) => version)];
}

// What is taken has passed its rate limit before: it was dispatched when it came to a worker without its code.
async function releasePhasesOf(
  on: Queryable,
  { name, version, everybody }: AbsentDefinition,
  limit: number,
): Promise<{ count: number; taken: JobRef[] }> {
  const result = await on.query<{ count: number; taken: JobRef[] }>({
    name: 'release-for-code',
    text: `
WITH found AS (
  SELECT p.id, p.flow_id FROM millrace.phases p JOIN millrace.flows f ON f.id = p.flow_id
  WHERE p.status = 'queued' AND p.held = 'worker' AND f.name = $1 AND f.version = $2 ORDER BY p.id LIMIT $3
), locked AS (
  SELECT l.id, ${holdOfFlow('l')} AS hold, NOT $4 AND NOT ${isQueuePaused('l.workspace')} AS taken FROM millrace.flows l
  WHERE l.id = ANY(ARRAY(SELECT flow_id FROM found)) ORDER BY l.id FOR UPDATE
), released AS (
  UPDATE millrace.phases p
  SET held = l.hold, dispatched = l.hold IS NULL AND l.taken, generation = p.generation + CASE WHEN l.hold IS NULL AND l.taken THEN 1 ELSE 0 END,
      due_at = CASE WHEN l.hold IS NULL AND l.taken THEN now() + interval '${DISPATCH_GRACE_MS} milliseconds' END
  FROM found JOIN locked l ON l.id = found.flow_id
  WHERE p.id = found.id AND p.id = ANY(ARRAY(SELECT id FROM found)) AND p.status = 'queued' AND p.held = 'worker'
  RETURNING p.id, p.generation, p.dispatched
)
SELECT (SELECT count(*)::int FROM found) AS count,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'generation', generation) ORDER BY id), '[]') FROM released WHERE dispatched) AS taken`,
    values: [name, version, limit, everybody],
  });
  return result.rows[0] ?? { count: 0, taken: [] };
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
