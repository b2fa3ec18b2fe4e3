// The event log of a flow or an import: as JSON pages, or as a live stream for those who accept text/event-stream.
import { withTimeout } from '@millrace/process';
import { AppError } from '@millrace/shared';
import type { Queryable } from '@millrace/store';
import { z } from 'zod';
import type { Cursors } from '../http/input/cursors.ts';
import { defineRoute, type ApiReply, type ApiRequest, type Route } from '../http/route.ts';
import { eventQuery, pageQueryOf, streamQueryOf, type EventQuery } from '../streams/event-query.ts';
import { pagePosition, readEventPage } from '../streams/event-page.ts';
import type { StreamHub } from '../streams/stream-hub.ts';
import { wantsEventStream } from '../streams/wants-event-stream.ts';

export type SubjectKind = 'flow' | 'import';

/** The end of a subject's event log. `ended`: its current run has had its terminal event. */
export type SubjectHead = { status: string; seqLast: number; ended: boolean };

export type EventRoutesDeps = {
  hub: Pick<StreamHub, 'open'>;
  database: { main: Queryable };
  cursors: Cursors;
  /** Undefined when there is none with this id in this workspace. */
  readHead(kind: SubjectKind, id: string, workspace: string): Promise<SubjectHead | undefined>;
};

/** The route has no deadline of its own because of its streams; this one keeps everything before the first byte within the usual time. */
const ANSWER_MS_MAX = 9_000;

const eventSchema = z
  .object({
    seq: z.int().meta({ description: '1..n within its subject, without a gap' }),
    flowId: z.uuid().optional(),
    importId: z.uuid().optional(),
    type: z.string(),
    phase: z.string().optional(),
    at: z.iso.datetime(),
    data: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'Event', title: 'Event' });

const STREAM_DESCRIPTION = [
  'With `Accept: text/event-stream`: everything after the cursor, then live. `id: <epoch>.<seq>`, `event: <type>`, `data:` the event as JSON; `event: progress` has no id.',
  'Without a cursor the stream begins at seq 1; `Last-Event-ID` wins over `after`. An id that cannot be continued is answered with `event: reset`, then everything from seq 1.',
  'A comment comes every 15 s, `event: bye` before the server ends the stream, `event: refused` instead of a stream when the key has too many open.',
].join(' ');

export function eventRoutes(deps: EventRoutesDeps): Route[] {
  return [eventRoute(deps, 'flow'), eventRoute(deps, 'import')];
}

function eventRoute(deps: EventRoutesDeps, kind: SubjectKind): Route {
  return defineRoute({
    method: 'get',
    path: `/v1/${kind}s/{id}/events`,
    operationId: kind === 'flow' ? 'readFlowEvents' : 'readImportEvents',
    summary: kind === 'flow' ? 'Events of a flow, as pages or live' : 'Events of an import, as pages or live',
    description: STREAM_DESCRIPTION,
    tag: kind === 'flow' ? 'Flows' : 'Imports',
    query: eventQuery,
    headers: { 'Last-Event-ID': 'Streams only: the id of the last event that was received' },
    responses: {
      200: {
        description: 'A page, ascending; or the stream',
        schema: z.object({ items: z.array(eventSchema), nextCursor: z.string().nullable() }),
        contentTypes: ['application/json', 'text/event-stream'],
      },
    },
    errors: ['not-found', 'invalid-cursor'],
    head: 'refused',
    deadline: 'none',
    handler: (request) => (wantsEventStream(request.headers.accept) ? stream(deps, kind, request) : page(deps, kind, request)),
  });
}

type EventRequest = ApiRequest<EventQuery, undefined>;

async function page(deps: EventRoutesDeps, kind: SubjectKind, request: EventRequest): Promise<ApiReply> {
  const query = pageQueryOf(request.query);
  const position = await inTime(pagePosition(deps.cursors, subjectOf(request), query));
  const { subject } = await inTime(findSubject(deps, kind, request));
  return { status: 200, body: await inTime(readEventPage(deps, subject, { query, position })) };
}

async function stream(deps: EventRoutesDeps, kind: SubjectKind, request: EventRequest): Promise<void> {
  const { after, untilEnd } = streamQueryOf(request.query);
  const { subject, head } = await inTime(findSubject(deps, kind, request));
  const { principal, raw, headers } = request;
  const lastEventId = headers['last-event-id'];
  // Node joins repeated headers of this name into one text.
  const cursor = { lastEventId: Array.isArray(lastEventId) ? lastEventId.join(', ') : lastEventId, after };
  await deps.hub.open({ res: raw().res, principal, subject, head, cursor, untilEnd });
}

function subjectOf({ params, principal }: Pick<ApiRequest, 'params' | 'principal'>): { id: string; workspace: string } {
  return { id: (params['id'] ?? '').toLowerCase(), workspace: principal.workspace };
}

async function findSubject(deps: EventRoutesDeps, kind: SubjectKind, request: Pick<ApiRequest, 'params' | 'principal'>) {
  const subject = subjectOf(request);
  const head = await deps.readHead(kind, subject.id, subject.workspace);
  if (head === undefined) throw new AppError('not-found');
  return { subject, head };
}

async function inTime<T>(promise: Promise<T>): Promise<T> {
  try {
    return await withTimeout(promise, ANSWER_MS_MAX);
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('timed out')) {
      throw new AppError(
        'dependency-unavailable',
        { detail: 'The request could not be completed in time.', retryAfterSeconds: 2 },
        { cause: error },
      );
    }
    throw error;
  }
}
