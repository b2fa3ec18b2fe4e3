// The event log as JSON pages, always ascending, walked forwards from a seq or backwards.
import { AppError, type FlowEvent, type ImportEvent } from '@millrace/shared';
import { publicEvent, readEvents, type Queryable } from '@millrace/store';
import type { Cursors, CursorScope } from '../http/input/cursors.ts';
import type { PageQuery } from './event-query.ts';

type EventPageAnswer = { items: (FlowEvent | ImportEvent)[]; nextCursor: string | null };

const POSITION_PATTERN = /^(after|before) (\d{1,10})$/;

type PagePosition = Pick<PageQuery, 'direction' | 'seq'>;

type Subject = { id: string; workspace: string };

/** Where the asked page begins: the cursor, if there is one, else what the query says. @throws AppError invalid-cursor */
export async function pagePosition(cursors: Cursors, subject: Subject, query: PageQuery): Promise<PagePosition> {
  if (query.cursor === undefined) return query;
  const match = POSITION_PATTERN.exec(await cursors.decode(scopeOf(subject, query), query.cursor));
  if (match === null) throw new AppError('invalid-cursor');
  return { direction: match[1] === 'before' ? 'before' : 'after', seq: Number(match[2]) };
}

/** One page. `nextCursor` leads on in the direction of the page and is null where the log ends today. */
export async function readEventPage(
  { database, cursors }: { database: { main: Queryable }; cursors: Cursors },
  subject: Subject,
  { query, position }: { query: PageQuery; position: PagePosition },
): Promise<EventPageAnswer> {
  const found = await readEvents(database.main, {
    subjectId: subject.id,
    [position.direction]: position.seq,
    ...(query.types === undefined ? {} : { types: query.types }),
    // One more than asked tells whether there is a next page.
    limit: query.limit + 1,
  });
  const items = (position.direction === 'after' ? found.slice(0, query.limit) : found.slice(-query.limit)).map((event) =>
    publicEvent(event),
  );
  const edge = position.direction === 'after' ? items.at(-1) : items[0];
  const isLast = found.length <= query.limit || edge === undefined;
  return { items, nextCursor: isLast ? null : await cursors.encode(scopeOf(subject, query), `${position.direction} ${edge.seq}`) };
}

function scopeOf(subject: Subject, query: PageQuery): CursorScope {
  return { workspace: subject.workspace, list: 'events', filter: { subject: subject.id, types: query.types ?? null } };
}
