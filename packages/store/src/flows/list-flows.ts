// Searches flows, newest first, by keyset: the id of the last one seen, which as a UUIDv7 is also its time.
import type { FlowStatus } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import type { StoredFlow } from './read-flow.ts';

export type FlowFilter = {
  workspace: string;
  statuses?: readonly FlowStatus[];
  flow?: string;
  tags?: Readonly<Record<string, string>>;
  /** Exclusive, in whole milliseconds as clients are shown them. RFC 3339. */
  createdAfter?: string;
  /** Literal, case-insensitive part of id, name, tags or error. */
  q?: string;
  /** Exclusive: flows older than this one. */
  before?: string;
  limit: number;
};

export type ListedFlow = Omit<StoredFlow, 'input' | 'seq_last' | 'pause'> & { phases_total: number; phases_open: number };

const COLUMNS =
  'id, name, version, status, run, workspace, tags, priority, error, run_at, created_at, started_at, finished_at, phases_total, phases_open, expires_at, concurrency_key, concurrency_limit';

/** What `q` is looked for in: the values themselves, not the JSON they are stored as; tags as clients write them in a filter. */
const SEARCHED_TEXT = `concat_ws(E'\\n', id::text, name, concurrency_key, (SELECT string_agg(key || ':' || value, E'\\n') FROM jsonb_each_text(tags)),
  error->>'phase', error->>'code', error->>'message')`;

/** At most `limit` flows. */
export async function listFlows(on: Queryable, filter: FlowFilter): Promise<ListedFlow[]> {
  const { clauses, values } = conditions(filter);
  values.push(filter.limit);
  const result = await on.query<ListedFlow>(
    `SELECT ${COLUMNS} FROM millrace.flows WHERE ${clauses.join(' AND ')} ORDER BY id DESC LIMIT $${values.length}`,
    values,
  );
  return result.rows;
}

function conditions(filter: FlowFilter): { clauses: string[]; values: unknown[] } {
  const clauses: string[] = [];
  const values: unknown[] = [];
  const where = (clause: (parameter: string) => string, value: unknown) => {
    values.push(value);
    clauses.push(clause(`$${values.length}`));
  };
  where((p) => `workspace = ${p}`, filter.workspace);
  if (filter.before !== undefined) where((p) => `id < ${p}::uuid`, filter.before);
  if (filter.statuses !== undefined) where((p) => `status = ANY(${p}::text[])`, filter.statuses);
  if (filter.flow !== undefined) where((p) => `name = ${p}`, filter.flow);
  if (filter.tags !== undefined && Object.keys(filter.tags).length > 0)
    where((p) => `tags @> ${p}::jsonb AND tags <> '{}'`, JSON.stringify(filter.tags));
  if (filter.createdAfter !== undefined) where((p) => `date_trunc('milliseconds', created_at) > ${p}::timestamptz`, filter.createdAfter);
  if (filter.q !== undefined) where((p) => `${SEARCHED_TEXT} ILIKE ${p}`, `%${escapeLike(filter.q)}%`);
  return { clauses, values };
}

function escapeLike(text: string): string {
  return text.replaceAll(/[\\%_]/g, (character) => `\\${character}`);
}
