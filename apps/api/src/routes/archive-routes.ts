// Flows that were deleted and archived before: which there are, and what is kept of one.
import {
  AppError,
  archivedFlowSchema,
  archiveListQuery,
  archivePageSchema,
  type ArchivedFlowAnswer,
  type ArchivedHeadAnswer,
} from '@millrace/shared';
import { publicEvent, type ArchivedFlow, type ArchivedHead, type ArchiveFilter } from '@millrace/store';
import { archivedDocument } from '../flows/flow-answer.ts';
import type { Cursors } from '../http/input/cursors.ts';
import { defineRoute, type Route } from '../http/route.ts';
import type { FlowTarget } from './flow-routes.ts';

export type ArchiveRoutesDeps = {
  cursors: Cursors;
  listArchived(filter: ArchiveFilter): Promise<ArchivedHead[]>;
  readArchived(target: FlowTarget): Promise<ArchivedFlow | undefined>;
};

const TAG = 'Flows';

export function archiveRoutes(deps: ArchiveRoutesDeps): Route[] {
  return [listRoute(deps), readRoute(deps)];
}

function listRoute(deps: ArchiveRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/archive/flows',
    operationId: 'listArchivedFlows',
    summary: 'List archived flows, newest first',
    tag: TAG,
    query: archiveListQuery,
    responses: { 200: { description: 'A page of archived flows', schema: archivePageSchema } },
    errors: ['invalid-cursor'],
    handler: async ({ query: { limit, cursor, ...filter }, principal: { workspace } }) => {
      const scope = { workspace, list: 'archived-flows', filter };
      const before = cursor === undefined ? undefined : await deps.cursors.decode(scope, cursor);
      const found = await deps.listArchived({ ...filter, workspace, ...(before === undefined ? {} : { before }), limit: limit + 1 });
      const page = found.slice(0, limit);
      const last = page.at(-1);
      const nextCursor = found.length > page.length && last !== undefined ? await deps.cursors.encode(scope, last.id) : null;
      return { status: 200, body: { items: page.map(headAnswer), nextCursor } };
    },
  });
}

function readRoute(deps: ArchiveRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/archive/flows/{id}',
    operationId: 'readArchivedFlow',
    summary: 'Read an archived flow with its phases and events',
    tag: TAG,
    responses: { 200: { description: 'The flow as it was when it was deleted', schema: archivedFlowSchema } },
    errors: ['not-found'],
    handler: async ({ params, principal }) => {
      const archived = await deps.readArchived({ flowId: (params['id'] ?? '').toLowerCase(), workspace: principal.workspace });
      if (archived === undefined) throw new AppError('not-found');
      return { status: 200, body: archivedAnswer(archived) };
    },
  });
}

function headAnswer(head: ArchivedHead): ArchivedHeadAnswer {
  return {
    id: head.id,
    flow: head.name,
    version: head.version,
    status: head.status,
    tags: head.tags,
    createdAt: head.created_at.toISOString(),
    finishedAt: head.finished_at.toISOString(),
    archivedAt: head.archived_at.toISOString(),
    links: { self: `/v1/archive/flows/${head.id}` },
  };
}

function archivedAnswer(archived: ArchivedFlow): ArchivedFlowAnswer {
  const { flow, phases, events, outputsOmitted } = archived.document;
  return { ...headAnswer(archived), outputsOmitted, document: archivedDocument({ flow, phases }), events: events.map(publicEvent) };
}
