// Dead phases, those that failed or were quarantined and have not been purged, read as incidents: by the id that `cause` holds, along the
// index `phases_dead`. Nothing here reads more of them than it answers or counts.
import type { FlowStatus } from '@millrace/shared';
import type { Queryable } from '../database.ts';

/** As the index `phases_dead` has it. */
export const IS_DEAD = "p.status IN ('failed', 'quarantined') AND p.purged_at IS NULL";
/** More incidents than this in one workspace are not told apart any further: some are left out of lists. */
export const INCIDENTS_MAX = 10_000;
const COUNT_MAX = 10_000;
const SAMPLE_MAX = 5;
const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

export type DeadFilter = {
  workspace: string;
  /** Ids of incidents. */
  incidents?: readonly string[];
  flow?: string;
  phase?: string;
  /** Of the error. */
  code?: string;
  /** Both exclusive, RFC 3339. */
  failedAfter?: string;
  failedBefore?: string;
};

/** What an incident's last failure says of it. `last_text` is `last_at` with all its digits. */
export type IncidentHead = {
  id: string;
  flow: string;
  phase: string;
  error: { code: string; message: string } | null;
  last_at: Date;
  last_text: string;
};

export type Incident = IncidentHead & { count: number; count_capped: boolean; first_at: Date; sample: string[] };

/** A place in the list of incidents: the last one seen. */
export type IncidentPosition = { lastText: string; id: string };

/** Up to `limit` incidents, the one with the latest failure first. */
export async function listIncidents(
  on: Queryable,
  filter: DeadFilter,
  page: { after?: IncidentPosition; limit: number },
): Promise<Incident[]> {
  return countIncidents(on, filter, await listHeads(on, filter, page));
}

/** Ids of all incidents that match, in no useful order. */
export async function incidentIds(on: Queryable, filter: DeadFilter): Promise<string[]> {
  const heads = await listHeads(on, filter, { limit: INCIDENTS_MAX });
  return heads.map((head) => head.id).sort();
}

async function listHeads(on: Queryable, filter: DeadFilter, page: { after?: IncidentPosition; limit: number }): Promise<IncidentHead[]> {
  const { workspace, incidents, flow, phase, code } = filter;
  const result = await on.query<IncidentHead>({
    name: 'list-incidents',
    text: `
WITH RECURSIVE found (cause) AS (
  (SELECT p.cause FROM millrace.phases p WHERE p.workspace = $1 AND ${IS_DEAD} AND p.cause IS NOT NULL AND $2::text[] IS NULL ORDER BY p.cause LIMIT 1)
  UNION ALL
  SELECT (SELECT p.cause FROM millrace.phases p WHERE p.workspace = $1 AND ${IS_DEAD} AND p.cause > found.cause ORDER BY p.cause LIMIT 1)
  FROM found WHERE found.cause IS NOT NULL
), causes AS (
  (SELECT cause FROM found WHERE cause IS NOT NULL LIMIT ${INCIDENTS_MAX}) UNION SELECT unnest($2::text[])
)
SELECT c.cause AS id, f.name AS flow, last.name AS phase, last.error - 'stack' AS error, last.finished_at AS last_at, last.finished_at::text AS last_text
FROM causes c
CROSS JOIN LATERAL (
  SELECT p.flow_id, p.name, p.error, p.finished_at FROM millrace.phases p
  WHERE p.workspace = $1 AND p.cause = c.cause AND ${IS_DEAD} AND ${inWindow('$3', '$4')}
  ORDER BY p.finished_at DESC, p.id DESC LIMIT 1
) AS last
JOIN millrace.flows f ON f.id = last.flow_id
WHERE ($5::text IS NULL OR f.name = $5) AND ($6::text IS NULL OR last.name = $6) AND ($7::text IS NULL OR last.error->>'code' = $7)
  AND (last.finished_at, c.cause) < ($8::timestamptz, $9::text)
ORDER BY last.finished_at DESC, c.cause DESC LIMIT $10`,
    values: [
      workspace,
      incidents ?? null,
      ...windowOf(filter),
      flow ?? null,
      phase ?? null,
      code ?? null,
      page.after?.lastText ?? 'infinity',
      page.after?.id ?? '',
      page.limit,
    ],
  });
  return result.rows;
}

type Counted = { count: number; first_at: Date | null; sample: string[] };

async function countIncidents(on: Queryable, filter: DeadFilter, heads: readonly IncidentHead[]): Promise<Incident[]> {
  if (heads.length === 0) return [];
  const ofIncident = `p.workspace = $1 AND p.cause = i.cause AND ${IS_DEAD} AND ${inWindow('$3', '$4')}`;
  const result = await on.query<Counted>({
    name: 'count-incidents',
    text: `
SELECT (SELECT count(*)::int FROM (SELECT p.id FROM millrace.phases p WHERE ${ofIncident} LIMIT ${COUNT_MAX + 1}) AS counted) AS count,
  (SELECT p.finished_at FROM millrace.phases p WHERE ${ofIncident} ORDER BY p.finished_at, p.id LIMIT 1) AS first_at,
  ARRAY(SELECT p.flow_id::text FROM millrace.phases p WHERE ${ofIncident} ORDER BY p.finished_at DESC, p.id DESC LIMIT ${SAMPLE_MAX}) AS sample
FROM unnest($2::text[]) WITH ORDINALITY AS i (cause, position) ORDER BY i.position`,
    values: [filter.workspace, heads.map((head) => head.id), ...windowOf(filter)],
  });
  return heads.flatMap((head, index) => {
    const row = result.rows[index];
    // One that ended in between the two statements is no incident any more.
    if (row === undefined || row.count === 0) return [];
    return [
      {
        ...head,
        count: Math.min(row.count, COUNT_MAX),
        count_capped: row.count > COUNT_MAX,
        first_at: row.first_at ?? head.last_at,
        sample: [...new Set(row.sample)],
      },
    ];
  });
}

export type DeadPhase = {
  id: string;
  flow_id: string;
  flow_status: FlowStatus;
  status: 'failed' | 'quarantined';
  attempts: number;
  error: { code: string; message: string } | null;
  finished_at: Date;
  finished_text: string;
};

/** Phases of one incident, the last to fail first. @param page `after`: the last one seen */
export async function listDeadPhases(
  on: Queryable,
  incident: { workspace: string; id: string },
  page: { after?: { finishedText: string; id: string }; limit: number },
): Promise<DeadPhase[]> {
  const result = await on.query<DeadPhase>({
    name: 'list-dead-phases',
    text: `
SELECT p.id, p.flow_id, f.status AS flow_status, p.status, p.attempts, p.error - 'stack' AS error, p.finished_at, p.finished_at::text AS finished_text
FROM millrace.phases p JOIN millrace.flows f ON f.id = p.flow_id
WHERE p.workspace = $1 AND p.cause = $2 AND ${IS_DEAD} AND (p.finished_at, p.id) < ($3::timestamptz, $4::uuid)
ORDER BY p.finished_at DESC, p.id DESC LIMIT $5`,
    values: [incident.workspace, incident.id, page.after?.finishedText ?? 'infinity', page.after?.id ?? LAST_ID, page.limit],
  });
  return result.rows;
}

/** The condition of a window of failure times. Without a way out for null: only so does the index serve it. */
export function inWindow(after: string, before: string): string {
  return `p.finished_at > ${after}::timestamptz AND p.finished_at < ${before}::timestamptz`;
}

/** The values of its two placeholders. */
export function windowOf({ failedAfter, failedBefore }: Pick<DeadFilter, 'failedAfter' | 'failedBefore'>): [string, string] {
  return [failedAfter ?? '-infinity', failedBefore ?? 'infinity'];
}
