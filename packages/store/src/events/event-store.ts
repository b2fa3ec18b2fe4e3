// Reads the event log, and appends the log lines of handlers.
import { groupIdOf } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import { appendEvents, lockFlow } from '../flows/flow-change.ts';
import type { LoggedEvent } from './logged-event.ts';

export type EventPage = { subjectId: string; after?: number; before?: number; types?: readonly string[]; limit: number };

const COLUMNS = 'subject_id AS "subjectId", seq, workspace, type, phase, at, data';

/** Events of one subject, ascending. `after`: the next `limit` ones. `before`: the last `limit` ones below it. */
export async function readEvents(on: Queryable, page: EventPage): Promise<LoggedEvent[]> {
  const backwards = page.before !== undefined;
  const result = await on.query<LoggedEvent>({
    name: `read-events-${backwards ? 'back' : 'on'}`,
    text: `SELECT ${COLUMNS} FROM millrace.events
           WHERE subject_id = $1 AND seq ${backwards ? '<' : '>'} $2 AND ($3::text[] IS NULL OR type = ANY($3)) ORDER BY seq ${backwards ? 'DESC' : 'ASC'} LIMIT $4`,
    values: [page.subjectId, page.before ?? page.after ?? 0, page.types ?? null, page.limit],
  });
  return backwards ? result.rows.toReversed() : result.rows;
}

/** The newest sequence number of each subject that has events; for finding out what a lost doorbell did not announce. */
export async function readHeads(on: Queryable, subjectIds: readonly string[]): Promise<Map<string, number>> {
  if (subjectIds.length === 0) return new Map();
  const result = await on.query<{ id: string; seq: number }>({
    name: 'read-heads',
    text: 'SELECT s.id, e.seq FROM unnest($1::uuid[]) AS s (id) CROSS JOIN LATERAL (SELECT seq FROM millrace.events WHERE subject_id = s.id ORDER BY seq DESC LIMIT 1) e',
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
