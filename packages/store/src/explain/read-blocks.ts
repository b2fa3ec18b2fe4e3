// What stands in the way of a flow outside of it: who holds its concurrency key, when its rate limit has room, which children are open, how much
// goes before it. Each is read only when a phase of the flow stands before it.
import type { Queryable } from '../database.ts';
import { SOON, SOON_ROWS_MAX } from '../workers/soon.ts';
import { AHEAD_MAX, type Blocks, type ExplainFacts, type PhaseFact, type RateWindowFact } from './explain-facts.ts';

const NAMED_MAX = 10;
/** Events of the flow that are looked through for the reason of a delay. */
const EVENTS_LOOKED_AT = 500;

type Facts = Pick<ExplainFacts, 'flow' | 'phases'>;

export async function readBlocks(on: Queryable, facts: Facts): Promise<Blocks> {
  const first = (...stands: PhaseFact['stand'][]) => facts.phases.find((phase) => stands.includes(phase.stand));
  const [rated, parent, ready, delayed] = [first('held-rate'), first('children'), first('dispatched', 'backlog'), first('delayed')];
  return {
    limit: facts.flow.admitted || facts.flow.concurrencyKey === null ? null : await readLimit(on, facts.flow),
    rate: rated === undefined ? null : await readRate(on, facts.flow.workspace, rated),
    children: parent === undefined ? null : await readChildren(on, parent),
    ahead: ready === undefined ? null : await countAhead(on, facts.flow.workspace, ready),
    delayReason: delayed === undefined ? null : await readDelayReason(on, facts.flow.id, delayed.name),
  };
}

// The admitted ones are the oldest of their key, so the first scan ends after a few rows.
async function readLimit(on: Queryable, flow: Facts['flow']): Promise<NonNullable<Blocks['limit']>> {
  const result = await on.query<NonNullable<Blocks['limit']>>({
    name: 'explain-limit',
    text: `
WITH of_key AS NOT MATERIALIZED (
  SELECT id, admitted FROM millrace.flows WHERE workspace = $1 AND concurrency_key = $2 AND status NOT IN ('completed', 'failed', 'cancelled')
)
SELECT ARRAY(SELECT id FROM of_key WHERE admitted ORDER BY id LIMIT least($4::int, ${NAMED_MAX})) AS holders,
  (SELECT count(*)::int FROM (SELECT FROM of_key WHERE NOT admitted AND id < $3 LIMIT ${AHEAD_MAX}) capped) AS before`,
    values: [flow.workspace, flow.concurrencyKey, flow.id, flow.concurrencyLimit],
  });
  return result.rows[0] ?? { holders: [], before: 0 };
}

async function readRate(on: Queryable, workspace: string, phase: PhaseFact): Promise<Blocks['rate']> {
  const key = phase.rateKey ?? '';
  const result = await on.query<{ windows: RateWindowFact[] | null; nextAt: Date | null; before: number }>({
    name: 'explain-rate',
    text: `
SELECT (SELECT windows FROM millrace.rate_limits WHERE workspace = $1 AND key = $2) AS windows,
  (SELECT min(next_at) FROM millrace.admissions WHERE workspace = $1 AND kind = 'rate' AND key = $2 AND next_at < 'infinity') AS "nextAt",
  (SELECT count(*)::int FROM (SELECT FROM millrace.phases WHERE status = 'queued' AND held = 'rate' AND workspace = $1 AND rate_key = $2
     AND (rank, id) < ($3::bigint, $4::uuid) LIMIT ${AHEAD_MAX}) capped) AS before`,
    values: [workspace, key, phase.rank, phase.id],
  });
  const row = result.rows[0];
  return { key, windows: row?.windows ?? [], nextAt: row?.nextAt ?? null, before: row?.before ?? 0 };
}

async function readChildren(on: Queryable, parent: PhaseFact): Promise<Blocks['children']> {
  const result = await on.query<{ ids: string[]; count: number }>({
    name: 'explain-children',
    text: `
WITH open AS NOT MATERIALIZED (
  SELECT id FROM millrace.flows WHERE parent_phase_id = $1 AND status NOT IN ('completed', 'failed', 'cancelled') AND child_awaited
)
SELECT ARRAY(SELECT id FROM open LIMIT ${NAMED_MAX}) AS ids, (SELECT count(*)::int FROM (SELECT FROM open LIMIT ${AHEAD_MAX}) capped) AS count`,
    values: [parent.id],
  });
  return { phase: parent.name, ...(result.rows[0] ?? { ids: [], count: 0 }) };
}

// What is in Redis was taken from the backlog before, so it goes before everything that still waits there.
async function countAhead(on: Queryable, workspace: string, phase: PhaseFact): Promise<NonNullable<Blocks['ahead']>> {
  const result = await on.query<{ count: number }>({
    name: 'explain-ahead',
    text: `
WITH soon AS MATERIALIZED (
  SELECT workspace, status, dispatched, rank, id FROM millrace.phases WHERE ${SOON} ORDER BY due_at LIMIT ${SOON_ROWS_MAX}
)
SELECT least(${AHEAD_MAX}, (SELECT count(*) FROM soon WHERE workspace = $1 AND status = 'queued' AND dispatched AND (rank, id) < ($2::bigint, $3::uuid))
  + CASE WHEN $4 THEN 0 ELSE (SELECT count(*) FROM (SELECT FROM millrace.phases
      WHERE workspace = $1 AND status = 'queued' AND NOT dispatched AND due_at IS NULL AND held IS NULL AND (rank, id) < ($2::bigint, $3::uuid) LIMIT ${AHEAD_MAX}) capped) END)::int AS count`,
    values: [workspace, phase.rank, phase.id, phase.stand === 'dispatched'],
  });
  return { phase: phase.name, count: result.rows[0]?.count ?? 0 };
}

async function readDelayReason(on: Queryable, flowId: string, phase: string): Promise<string | null> {
  const result = await on.query<{ reason: string | null }>({
    name: 'explain-delay',
    text: `SELECT e.entry->2->>'reason' AS reason
           FROM millrace.event_log l CROSS JOIN LATERAL json_array_elements(l.entries) WITH ORDINALITY AS e (entry, number)
           WHERE l.subject_id = $1 AND l.seq > (SELECT seq_last - ${EVENTS_LOOKED_AT} FROM millrace.flows WHERE id = $1)
             AND e.entry->>1 = $2 AND e.entry->>0 = 'phase.queued'
           ORDER BY l.seq DESC, e.number DESC LIMIT 1`,
    values: [flowId, phase],
  });
  return result.rows[0]?.reason ?? null;
}
