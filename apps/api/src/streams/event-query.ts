// The query of an event log: one schema for pages and streams, and what each of the two makes of it.
import { fieldError, LIMITS } from '@millrace/shared';
import { z } from 'zod';

const SEQ_PATTERN = /^\d{1,9}$/;
const TYPE_PATTERN = /^[a-z][a-z._]{0,63}$/;
const TYPES_MAX = 20;

/** Numbers stay text: a stream answers a cursor it cannot use with `reset`, a page with 422. */
export const eventQuery = z.strictObject({
  after: z.string().max(200).optional().meta({ description: 'Events after this seq. In a stream also an event id' }),
  before: z.string().max(20).optional().meta({ description: 'Pages only: the last `limit` events below this seq' }),
  type: z.string().max(1_000).optional().meta({ description: 'Pages only: comma list of event types' }),
  limit: z
    .string()
    .max(20)
    .optional()
    .meta({ description: `Pages only: 1 to ${LIMITS.pageItemsMax}, ${LIMITS.pageItemsDefault} unless said` }),
  cursor: z.string().optional().meta({ description: 'Pages only: `nextCursor` of the page before' }),
  until: z
    .string()
    .max(20)
    .optional()
    .meta({ description: 'Streams only: `end` closes the stream after the terminal event of the current run' }),
});
export type EventQuery = z.infer<typeof eventQuery>;

export type PageQuery = {
  direction: 'after' | 'before';
  seq: number;
  types: string[] | undefined;
  limit: number;
  cursor: string | undefined;
};

/** @throws AppError validation */
export function pageQueryOf(query: EventQuery): PageQuery {
  if (query.until !== undefined) throw fieldError('validation', 'until', 'until is for streams: ask with Accept: text/event-stream.');
  if (query.after !== undefined && query.before !== undefined)
    throw fieldError('validation', 'before', 'after and before exclude each other.');
  const direction = query.before === undefined ? 'after' : 'before';
  return {
    direction,
    seq: seqOf(direction, query[direction] ?? '0'),
    types: query.type === undefined ? undefined : typesOf(query.type),
    limit: query.limit === undefined ? LIMITS.pageItemsDefault : limitOf(query.limit),
    cursor: query.cursor,
  };
}

/** @throws AppError validation */
export function streamQueryOf(query: EventQuery): { after: string | undefined; untilEnd: boolean } {
  for (const name of ['before', 'type', 'limit', 'cursor'] as const) {
    if (query[name] !== undefined) throw fieldError('validation', name, `${name} is for pages: ask with Accept: application/json.`);
  }
  if (query.until !== undefined && query.until !== 'end') throw fieldError('validation', 'until', 'until must be end.');
  return { after: query.after, untilEnd: query.until === 'end' };
}

function seqOf(name: string, text: string): number {
  if (!SEQ_PATTERN.test(text)) throw fieldError('validation', name, `${name} must be a whole number of at most 9 digits.`);
  return Number(text);
}

function limitOf(text: string): number {
  const limit = SEQ_PATTERN.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > LIMITS.pageItemsMax) throw fieldError('validation', 'limit', `limit must be 1 to ${LIMITS.pageItemsMax}.`);
  return limit;
}

function typesOf(text: string): string[] {
  const types = [...new Set(text.split(','))].toSorted();
  if (types.length > TYPES_MAX || types.some((type) => !TYPE_PATTERN.test(type)))
    throw fieldError('validation', 'type', `type must be a comma list of at most ${TYPES_MAX} event types.`);
  return types;
}
