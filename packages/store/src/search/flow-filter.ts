// Which flows a search means, and the conditions that says in SQL. How they are found is left to flow-paths.ts and search-flows.ts.
import type { FlowStatus } from '@millrace/shared';

export type FlowFilter = {
  workspace: string;
  statuses?: readonly FlowStatus[];
  flow?: string;
  tags?: Readonly<Record<string, string>>;
  /** All four exclusive, in whole milliseconds as clients are shown them. RFC 3339. */
  createdAfter?: string;
  createdBefore?: string;
  finishedAfter?: string;
  finishedBefore?: string;
  /** Literal, case-insensitive part of the error's phase, code or message. */
  error?: string;
  /** Each must match: JSON texts of which the input contains at least one. */
  inputs?: readonly (readonly string[])[];
  /** Literal, case-insensitive part of id, name, tags, concurrency key or error. */
  q?: string;
};

/** Values of a statement, in the order of their placeholders. */
export type Values = {
  readonly list: unknown[];
  /** Adds a value and answers its placeholder. */
  add(value: unknown): string;
};

export function createValues(): Values {
  const list: unknown[] = [];
  return { list, add: (value) => `$${list.push(value)}` };
}

const ERROR_TEXT = "error->>'phase', error->>'code', error->>'message'";
/** What `q` is looked for in: the values themselves, not the JSON they are stored as; tags as clients write them in a filter. */
const SEARCHED_TEXT = `concat_ws(E'\\n', id::text, name, concurrency_key, (SELECT string_agg(key || ':' || value, E'\\n') FROM jsonb_each_text(tags)), ${ERROR_TEXT})`;

/** Everything but the workspace that a flow must fulfil, for `WHERE` or as a boolean column; `true` when there is nothing. */
export function conditionOf(filter: FlowFilter, values: Values): string {
  const parts = [
    ...when(filter.statuses, (statuses) => `status = ANY(${values.add(statuses)}::text[])`),
    ...when(filter.flow, (flow) => `name = ${values.add(flow)}`),
    ...when(hasTags(filter) ? filter.tags : undefined, (tags) => tagCondition(tags, values)),
    ...when(filter.createdAfter, (at) => `date_trunc('milliseconds', created_at) > ${values.add(at)}::timestamptz`),
    ...when(filter.createdBefore, (at) => `date_trunc('milliseconds', created_at) < ${values.add(at)}::timestamptz`),
    ...when(filter.finishedAfter, (at) => `date_trunc('milliseconds', finished_at) > ${values.add(at)}::timestamptz`),
    ...when(filter.finishedBefore, (at) => `date_trunc('milliseconds', finished_at) < ${values.add(at)}::timestamptz`),
    ...when(filter.error, (text) => `error IS NOT NULL AND concat_ws(E'\\n', ${ERROR_TEXT}) ILIKE ${values.add(likePattern(text))}`),
    ...(filter.inputs ?? []).map((texts) => `(${texts.map((json) => `input @> ${values.add(json)}::jsonb`).join(' OR ')})`),
    ...when(filter.q, (text) => `${SEARCHED_TEXT} ILIKE ${values.add(likePattern(text))}`),
  ];
  return parts.length === 0 ? 'true' : parts.join(' AND ');
}

/** In the words of the index of tags, which leaves out flows that have none. */
export function tagCondition(tags: Readonly<Record<string, string>>, values: Values): string {
  return `tags @> ${values.add(JSON.stringify(tags))}::jsonb AND tags <> '{}'`;
}

export function hasTags({ tags }: FlowFilter): boolean {
  return tags !== undefined && Object.keys(tags).length > 0;
}

function when<T>(value: T | undefined, write: (value: T) => string): string[] {
  return value === undefined ? [] : [write(value)];
}

function likePattern(text: string): string {
  return `%${text.replaceAll(/[\\%_]/g, (character) => `\\${character}`)}%`;
}
