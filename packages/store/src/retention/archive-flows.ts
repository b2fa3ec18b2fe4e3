// Flows that are about to be deleted, each written as one JSON document, and what is there to read of them.
import type { FlowStatus } from '@millrace/shared';
import type { PoolClient, Queryable } from '../database.ts';
import { LOGGED_EVENT_JSON, type LoggedEvent } from '../events/logged-event.ts';
import { fromJson, type StoredFlow, type StoredPhase } from '../flows/read-flow.ts';
import { OUTPUTS_BYTES_MAX } from '../flows/read-outputs.ts';

/** Of an archived flow; its log is cut at this many events, the last ones. */
const EVENTS_MAX = 100_000;

export type ArchivedHead = {
  id: string;
  name: string;
  version: number;
  status: FlowStatus;
  tags: Record<string, string>;
  created_at: Date;
  finished_at: Date;
  archived_at: Date;
};

/** `outputsOmitted`: the outputs were too large together to be kept. */
export type ArchiveDocument = { flow: StoredFlow; phases: StoredPhase[]; events: LoggedEvent[]; outputsOmitted: boolean };

export type ArchivedFlow = ArchivedHead & { document: ArchiveDocument };

const MEMBERS = "> f.id AND %.id <= overlay(f.id::text PLACING 'ffff' FROM 33)::uuid";
const isMember = (alias: string) => `${alias}.id ${MEMBERS.replace('%', alias)}`;

const ARCHIVE = `
INSERT INTO millrace.flow_archive (id, workspace, name, version, status, tags, created_at, finished_at, document)
SELECT f.id, f.workspace, f.name, f.version, f.status, f.tags, f.created_at, coalesce(f.finished_at, now()), json_build_object(
  'flow', to_jsonb(f) - 'created_by',
  'outputsOmitted', s.omitted,
  'phases', (SELECT coalesce(json_agg(json_build_object('id', p.id, 'name', p.name, 'status', p.status, 'attempts', p.attempts,
      'output', CASE WHEN NOT s.omitted THEN p.output END, 'error', p.error - 'stack', 'started_at', p.started_at, 'finished_at', p.finished_at,
      'needs', (SELECT coalesce(json_agg(n.name ORDER BY n.id), '[]') FROM millrace.phases n WHERE n.id = ANY(p.needs))) ORDER BY p.id), '[]')
    FROM millrace.phases p WHERE ${isMember('p')}),
  'events', (SELECT coalesce(json_agg(${LOGGED_EVENT_JSON} ORDER BY seq), '[]') FROM millrace.events WHERE subject_id = f.id AND seq > f.seq_last - ${EVENTS_MAX}))
FROM millrace.flows f
CROSS JOIN LATERAL (SELECT coalesce(sum(octet_length(p.output::text)), 0) > ${OUTPUTS_BYTES_MAX} AS omitted FROM millrace.phases p WHERE ${isMember('p')}) s
WHERE f.id = $1 ON CONFLICT (id) DO NOTHING`;

/** Answers how many were written. One statement for each, so that no answer of the server grows with their number. */
export async function archiveFlows(client: PoolClient, ids: readonly string[]): Promise<number> {
  for (const id of ids) await client.query({ name: 'archive-flow', text: ARCHIVE, values: [id] });
  return ids.length;
}

export async function readArchived(on: Queryable, target: { flowId: string; workspace: string }): Promise<ArchivedFlow | undefined> {
  const result = await on.query<ArchivedFlow>({
    name: 'read-archived',
    text: `SELECT id, name, version, status, tags, created_at, finished_at, archived_at, document FROM millrace.flow_archive WHERE id = $1 AND workspace = $2`,
    values: [target.flowId, target.workspace],
  });
  const row = result.rows[0];
  return row && { ...row, document: { ...row.document, ...fromJson(row.document) } };
}

export type ArchiveFilter = { workspace: string; flow?: string | undefined; before?: string; limit: number };

/** Newest first, at most `limit`; `before` is exclusive. */
export async function listArchived(on: Queryable, { workspace, flow, before, limit }: ArchiveFilter): Promise<ArchivedHead[]> {
  const result = await on.query<ArchivedHead>(
    `SELECT id, name, version, status, tags, created_at, finished_at, archived_at FROM millrace.flow_archive
     WHERE workspace = $1 AND ($2::text IS NULL OR name = $2) AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4`,
    [workspace, flow ?? null, before ?? null, limit],
  );
  return result.rows;
}
