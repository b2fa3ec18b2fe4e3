// Takes back crashes that were none. When a lease runs out, nobody can know yet whether the process died or was kept from PostgreSQL: a worker
// that is heard of again tells.
import type { Queryable } from '../database.ts';

const LOSSES_MAX = 500;

// A death that was seen has an error to tell. Phases that somebody works on just now are left for the next time, so that this never waits and is never waited for in a circle.
const FORGIVE = `
WITH lost AS (
  SELECT phase_id, fence FROM millrace.attempts WHERE worker = $1 AND outcome = 'lost' AND error IS NULL LIMIT ${LOSSES_MAX}
), held AS (
  SELECT id, flow_id FROM millrace.phases WHERE id = ANY(ARRAY(SELECT phase_id FROM lost)) AND status <> 'quarantined' FOR UPDATE SKIP LOCKED
), forgiven AS (
  UPDATE millrace.attempts a SET outcome = 'interrupted'
  FROM lost l JOIN held h ON h.id = l.phase_id
  WHERE a.phase_id = l.phase_id AND a.fence = l.fence AND a.phase_id = ANY(ARRAY(SELECT phase_id FROM lost)) AND a.outcome = 'lost'
  RETURNING a.phase_id, a.run, h.flow_id
), counts AS (
  SELECT g.phase_id, count(*)::int AS count FROM forgiven g JOIN millrace.flows f ON f.id = g.flow_id AND f.id = ANY(ARRAY(SELECT flow_id FROM held)) AND f.run = g.run
  GROUP BY g.phase_id
), changed AS (
  UPDATE millrace.phases p SET crashes = greatest(0, p.crashes - c.count) FROM counts c WHERE p.id = c.phase_id AND p.id = ANY(ARRAY(SELECT phase_id FROM counts))
)
SELECT count(*)::int AS count FROM forgiven`;

/** A worker is alive: the claims that counted as lost by its death were interrupted. Answers how many there were. */
export async function forgiveLosses(hot: Queryable, worker: string): Promise<number> {
  const result = await hot.query<{ count: number }>({ name: 'forgive-losses', text: FORGIVE, values: [worker] });
  return result.rows[0]?.count ?? 0;
}
