// What can be seen of the model and of the database, in one form, and what must hold of the database by itself at any moment.
import { ACTIVE, activeOf, openOf, type Model } from './model.ts';
import type { World } from './world.ts';

type Seen = { flow: string; phases: string[]; events: string[] }[];

/** What the model says there is. */
export function seenInModel(model: Model): Seen {
  return model.flows.map((flow) => ({
    flow: `${flow.status} run ${flow.run} open ${openOf(flow)} active ${activeOf(flow)} admitted ${flow.admitted} started ${flow.started} due ${flow.due !== 'none'}`,
    phases: flow.phases.map(
      (phase) =>
        `${phase.name} ${phase.status} attempts ${phase.attempts} held ${phase.held} output ${JSON.stringify(phase.output)} needs ${phase.status === 'pending' ? phase.needsOpen : 0}` +
        ` dispatched ${phase.status === 'queued' && phase.job !== null} due ${ACTIVE.includes(phase.status) || phase.status === 'waiting' ? phase.due !== 'none' : 'never'}`,
    ),
    events: flow.events,
  }));
}

/** What the database says there is. */
export async function seenInDatabase({ store, flowIds }: World): Promise<Seen> {
  const rows = await store.sql<{ id: string; flow: string; phases: string[] | null; events: string[] }>(`
SELECT f.id, f.status || ' run ' || f.run || ' open ' || f.phases_open || ' active ' || f.phases_active || ' admitted ' || f.admitted || ' started ' || (f.started_at IS NOT NULL)
       || ' due ' || (f.due_at IS NOT NULL) AS flow,
  (SELECT json_agg(p.name || ' ' || p.status || ' attempts ' || p.attempts || ' held ' || coalesce(p.held, 'null') || ' output ' || coalesce(p.output::text, 'null')
    || ' needs ' || CASE WHEN p.status = 'pending' THEN p.needs_open ELSE 0 END || ' dispatched ' || (p.status = 'queued' AND p.dispatched)
    || ' due ' || CASE WHEN p.finished_at IS NOT NULL OR p.status = 'pending' THEN 'never' ELSE (p.due_at IS NOT NULL)::text END ORDER BY p.id)
   FROM millrace.phases p WHERE p.flow_id = f.id) AS phases,
  (SELECT json_agg(e.type || coalesce(' ' || e.phase, '') ORDER BY e.seq) FROM millrace.events e WHERE e.subject_id = f.id) AS events
FROM millrace.flows f`);
  return flowIds.map((flowId) => {
    const row = rows.find(({ id }) => id === flowId);
    return { flow: row?.flow ?? 'missing', phases: row?.phases ?? [], events: row?.events ?? [] };
  });
}

/** Events of one step have no order among themselves that anybody may rely on, but that an end of the flow comes last. */
export function byStep(seen: Seen, counts: readonly number[]): Seen {
  return seen.map((one, at) => ({
    ...one,
    events: [...one.events.slice(0, counts[at] ?? 0), ...one.events.slice(counts[at] ?? 0).toSorted()],
  }));
}

const ENDED = "('completed', 'failed', 'cancelled')";
const CLOSED = "('completed', 'failed', 'skipped', 'cancelled', 'quarantined')";
const COUNTS = `SELECT f.*, count(p.id) FILTER (WHERE p.status NOT IN ${CLOSED}) AS open, count(p.id) FILTER (WHERE p.status IN ('queued', 'running', 'retrying')) AS active,
  count(p.id) FILTER (WHERE p.status IN ('failed', 'quarantined')) AS broken, count(p.id) FILTER (WHERE p.status = 'running') AS running
  FROM millrace.flows f LEFT JOIN millrace.phases p ON p.flow_id = f.id GROUP BY f.id`;
const BROKEN_PHASE = (rule: string) => `SELECT id FROM millrace.phases WHERE NOT (${rule})`;
const BROKEN_FLOW = (rule: string) => `SELECT id FROM (${COUNTS}) f WHERE NOT (${rule})`;

const INVARIANTS: Record<string, string> = {
  'open phases are counted': BROKEN_FLOW('phases_open = open'),
  'active phases are counted': BROKEN_FLOW('phases_active = active'),
  'failed phases are counted': BROKEN_FLOW(`phases_failed = broken OR status = 'cancelled'`),
  'a flow has ended when nothing of it is open': BROKEN_FLOW(`(status IN ${ENDED}) = (open = 0)`),
  'a flow waits when nothing of it is active': BROKEN_FLOW(
    `CASE status WHEN 'waiting' THEN active = 0 WHEN 'running' THEN active > 0 WHEN 'queued' THEN running = 0 ELSE true END`,
  ),
  'a completed flow has no failed phase, and a failed one has one or an error': BROKEN_FLOW(
    `CASE status WHEN 'completed' THEN broken = 0 WHEN 'failed' THEN broken > 0 OR error IS NOT NULL ELSE true END`,
  ),
  'only an end has a time, and each has one': BROKEN_FLOW(
    `(status IN ${ENDED}) = (finished_at IS NOT NULL) AND (status NOT IN ${ENDED} OR due_at IS NULL)`,
  ),
  'a paused flow has a pause': BROKEN_FLOW(`status <> 'paused' OR pause IS NOT NULL`),
  'events are numbered without a gap': `SELECT f.id FROM millrace.flows f JOIN millrace.events e ON e.subject_id = f.id GROUP BY f.id
    HAVING count(*) <> f.seq_last OR min(e.seq) <> 1 OR max(e.seq) <> f.seq_last`,
  'nothing follows the end of a run but the next run': `SELECT subject_id FROM (
    SELECT subject_id, type, lag(type) OVER (PARTITION BY subject_id ORDER BY seq) AS before FROM millrace.events) e
    WHERE before IN ('flow.completed', 'flow.failed', 'flow.cancelled') AND type <> 'flow.queued'`,
  'only queued phases are held': BROKEN_PHASE(`held IS NULL OR status = 'queued'`),
  'what is held is not dispatched': BROKEN_PHASE(`held IS NULL OR NOT dispatched`),
  'running phases, and no others that are open, have an owner and a lease': BROKEN_PHASE(
    `CASE WHEN status = 'running' THEN lease_owner IS NOT NULL AND due_at IS NOT NULL WHEN status IN ${CLOSED} THEN due_at IS NULL ELSE lease_owner IS NULL END`,
  ),
  'what was dispatched, or retries, is looked for when nobody claims it': BROKEN_PHASE(
    `(status <> 'retrying' OR due_at IS NOT NULL) AND (status <> 'queued' OR NOT dispatched OR due_at IS NOT NULL)`,
  ),
  'only waiting phases await something': BROKEN_PHASE(
    `CASE status WHEN 'waiting' THEN (awaits IS NULL) = (signal IS NOT NULL) ELSE awaits IS NULL END`,
  ),
  'a phase is pending as long as it needs something': `SELECT p.id FROM millrace.phases p WHERE p.status = 'pending' AND (p.needs_open = 0 OR p.needs_open <>
    (SELECT count(*) FROM millrace.phases n WHERE n.id = ANY(p.needs) AND n.status NOT IN ('completed', 'skipped')))`,
  'a limit is never exceeded': `SELECT max(id::text) AS id FROM millrace.flows WHERE concurrency_key IS NOT NULL AND admitted AND status NOT IN ${ENDED}
    GROUP BY workspace, concurrency_key HAVING count(*) > max(concurrency_limit)`,
  'nothing starts that was not let in': `SELECT p.id FROM millrace.phases p JOIN millrace.flows f ON f.id = p.flow_id WHERE p.status IN ('running', 'retrying') AND NOT f.admitted`,
  'a phase completes once in a run': `SELECT subject_id FROM (
    SELECT subject_id, phase, type, count(*) FILTER (WHERE type = 'flow.queued') OVER (PARTITION BY subject_id ORDER BY seq) AS run FROM millrace.events) e
    WHERE type = 'phase.completed' GROUP BY subject_id, phase, run HAVING count(*) > 1`,
};
const ALL_INVARIANTS = Object.entries(INVARIANTS)
  .map(([name, query]) => `SELECT '${name}' AS rule, (SELECT json_agg(x) FROM (${query}) AS x) AS broken`)
  .join(' UNION ALL ');

/** Names of rules that do not hold, with the rows that break them. */
export async function brokenInvariants({ store }: World): Promise<{ rule: string; broken: unknown }[]> {
  return store.sql(`SELECT * FROM (${ALL_INVARIANTS}) AS i WHERE broken IS NOT NULL`);
}
