// Reads the event log, and appends the log lines of handlers.
import { groupIdOf } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import { appendEvents, lockFlow } from '../flows/flow-change.ts';
import type { LoggedEvent } from './logged-event.ts';

export type EventPage = { subjectId: string; after?: number; before?: number; types?: readonly string[]; limit: number };

// The first row may begin before `after`, the last one may end behind `before`: rows are found by their last number, then unpacked in order.
const UNPACKED = `
SELECT l.subject_id AS "subjectId", l.seq - json_array_length(l.entries) + e.number::int AS seq, l.workspace, e.entry->>0 AS type, e.entry->>1 AS phase, l.at,
       e.entry->2 AS data
FROM millrace.event_log l CROSS JOIN LATERAL json_array_elements(l.entries) WITH ORDINALITY AS e (entry, number)
WHERE l.subject_id = $1 AND ($3::text[] IS NULL OR e.entry->>0 = ANY($3))`;
const FORWARDS = `${UNPACKED} AND l.seq > $2 AND l.seq - json_array_length(l.entries) + e.number > $2 ORDER BY l.seq, e.number LIMIT $4`;
const BACKWARDS = `${UNPACKED} AND l.seq <= coalesce((SELECT min(seq) FROM millrace.event_log WHERE subject_id = $1 AND seq >= $2), $2)
  AND l.seq - json_array_length(l.entries) + e.number < $2 ORDER BY l.seq DESC, e.number DESC LIMIT $4`;

/** Events of one subject, ascending. `after`: the next `limit` ones. `before`: the last `limit` ones below it. */
export async function readEvents(on: Queryable, page: EventPage): Promise<LoggedEvent[]> {
  const backwards = page.before !== undefined;
  const result = await on.query<LoggedEvent>({
    name: `read-events-${backwards ? 'back' : 'on'}`,
    text: backwards ? BACKWARDS : FORWARDS,
    values: [page.subjectId, page.before ?? page.after ?? 0, page.types ?? null, page.limit],
  });
  return backwards ? result.rows.toReversed() : result.rows;
}

/** The newest sequence number of each subject that has events; for finding out what a lost doorbell did not announce. */
export async function readHeads(on: Queryable, subjectIds: readonly string[]): Promise<Map<string, number>> {
  if (subjectIds.length === 0) return new Map();
  const result = await on.query<{ id: string; seq: number }>({
    name: 'read-heads',
    text: 'SELECT s.id, e.seq FROM unnest($1::uuid[]) AS s (id) CROSS JOIN LATERAL (SELECT seq FROM millrace.event_log WHERE subject_id = s.id ORDER BY seq DESC LIMIT 1) e',
    values: [subjectIds],
  });
  return new Map(result.rows.map((row) => [row.id, row.seq]));
}

export type LogLine = { level: string; message: string; data: Record<string, unknown> };

/** Writes a handler's log lines as events while its fence holds. Answers what was written; nothing when the fence refused it. */
export async function appendLogs(
  database: Pick<Database, 'transaction'>,
  phase: { id: string; name: string; fence: number },
  lines: readonly LogLine[],
): Promise<LoggedEvent[]> {
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, groupIdOf(phase.id));
    const held = await client.query({
      name: 'holds-fence',
      text: "SELECT FROM millrace.phases WHERE id = $1 AND fence = $2 AND status = 'running'",
      values: [phase.id, phase.fence],
    });
    if (flow === undefined || held.rowCount !== 1) return [];
    return appendEvents(
      client,
      flow.id,
      lines.map((line) => ({ type: 'log', phase: phase.name, data: { level: line.level, message: line.message, ...line.data } })),
    );
  });
}
