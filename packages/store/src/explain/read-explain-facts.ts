// Reads what decides why a flow does not go on: its row, its open phases, pauses and workers from one snapshot, and then whatever the
// kind of its blocks asks for. Every part goes through an index and stops at a limit.
import { lastMemberId } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import { DISPATCH_GRACE_MS } from '../flows/create-flows.ts';
import { TAKES_WORK } from '../workers/announce-worker.ts';
import type { Blocks, ExplainFacts } from './explain-facts.ts';
import { readBlocks } from './read-blocks.ts';

const SAMPLE_MAX = 10;

const FACTS = `
WITH flow AS (
  SELECT * FROM millrace.flows WHERE id = $1 AND workspace = $2
), open AS (
  SELECT p.*, CASE
    WHEN p.status = 'running' THEN 'running'
    WHEN p.status = 'retrying' THEN CASE WHEN p.due_at > now() THEN 'retrying' ELSE 'dispatched' END
    WHEN p.status = 'waiting' THEN CASE WHEN p.signal IS NULL AND p.awaits->>'kind' IN ('time', 'children', 'callback') THEN p.awaits->>'kind' ELSE 'signal' END
    WHEN p.held IS NOT NULL THEN 'held-' || p.held
    WHEN p.dispatched THEN CASE WHEN p.due_at > now() + interval '${DISPATCH_GRACE_MS + 1_000} milliseconds' THEN 'delayed' ELSE 'dispatched' END
    WHEN p.due_at > now() THEN 'scheduled' ELSE 'backlog' END AS stand
  FROM millrace.phases p
  WHERE p.id > $1 AND p.id <= $3 AND p.status IN ('queued', 'running', 'retrying', 'waiting') AND EXISTS (SELECT FROM flow)
), sampled AS (
  SELECT *, row_number() OVER (PARTITION BY stand ORDER BY due_at, rank, id) AS position, count(*) OVER (PARTITION BY stand) AS stand_count FROM open
), live AS (
  SELECT id, definitions FROM millrace.workers WHERE ${TAKES_WORK}
)
SELECT now() AS now, jsonb_build_object('id', f.id, 'workspace', f.workspace, 'name', f.name, 'version', f.version, 'status', f.status, 'planned', f.planned,
    'runAt', f.run_at, 'finishedAt', f.finished_at, 'pause', f.pause, 'admitted', f.admitted, 'concurrencyKey', f.concurrency_key, 'concurrencyLimit', f.concurrency_limit) AS flow,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'name', s.name, 'stand', s.stand, 'standCount', s.stand_count, 'rank', s.rank::text, 'attempts', s.attempts,
      'attemptMax', s.attempt_max, 'error', s.error - 'stack', 'rateKey', s.rate_key, 'worker', s.lease_owner, 'startedAt', s.started_at,
      'signals', CASE WHEN s.signal IS NOT NULL THEN jsonb_build_array(s.signal) ELSE coalesce(s.awaits->'names', '[]') END,
      'dueAt', coalesce(CASE WHEN isfinite(s.due_at) THEN s.due_at END, (s.awaits->>'until')::timestamptz)) ORDER BY s.position, s.id), '[]') FROM sampled s WHERE s.position <= ${SAMPLE_MAX}) AS phases,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('everybody', q.workspace = '', 'by', q.paused_by, 'reason', q.reason, 'at', q.paused_at, 'until', q.until) ORDER BY q.workspace), '[]')
     FROM millrace.queue_pauses q WHERE q.queue = 'flow-phase' AND q.workspace IN (f.workspace, '') AND (q.until IS NULL OR q.until > now())) AS "queuePauses",
  jsonb_build_object('live', (SELECT count(*) FROM live),
    'holding', (SELECT count(*) FROM live WHERE definitions @> jsonb_build_array(jsonb_build_object('name', f.name, 'version', f.version))),
    'versions', (SELECT coalesce(jsonb_agg(DISTINCT (d->'version')::int), '[]') FROM live, jsonb_array_elements(definitions) d WHERE d->>'name' = f.name)) AS workers
FROM flow f`;

/** Undefined when there is no such flow in this workspace. */
export async function readExplainFacts(on: Queryable, target: { flowId: string; workspace: string }): Promise<ExplainFacts | undefined> {
  const result = await on.query<Omit<ExplainFacts, keyof Blocks>>({
    name: 'explain-facts',
    text: FACTS,
    values: [target.flowId, target.workspace, lastMemberId(target.flowId)],
  });
  const row = result.rows[0];
  if (row === undefined) return undefined;
  const facts = {
    now: row.now,
    flow: withDates(row.flow, ['runAt', 'finishedAt']),
    phases: row.phases.map((phase) => withDates(phase, ['startedAt', 'dueAt'])),
    queuePauses: row.queuePauses.map((pause) => withDates(pause, ['at', 'until'])),
    workers: row.workers,
  };
  return { ...facts, ...(await readBlocks(on, facts)) };
}

// Instants inside jsonb arrive as text.
function withDates<Row extends object>(row: Row, names: readonly (keyof Row)[]): Row {
  const copy = { ...row };
  for (const name of names) {
    const value = copy[name];
    if (typeof value === 'string') copy[name] = new Date(value) as Row[typeof name];
  }
  return copy;
}
