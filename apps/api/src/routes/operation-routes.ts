// Follow and stop operations: what replays, purges and bulk actions come to.
import { AppError, operationListQuery, operationPageSchema, operationSchema } from '@millrace/shared';
import { listOperations, readOperation, stopOperation, type Database } from '@millrace/store';
import type { Cursors } from '../http/input/cursors.ts';
import { defineRoute, type ApiRequest, type Route } from '../http/route.ts';
import { operationAnswer, operationPath } from '../operations/operation-answer.ts';

export type OperationRoutesDeps = { database: Database; cursors: Cursors };

const TAG = 'Operations';
const PATH = '/v1/operations/{id}';

export function operationRoutes(deps: OperationRoutesDeps): Route[] {
  return [listRoute(deps), readRoute(deps), stopRoute(deps)];
}

function listRoute({ database, cursors }: OperationRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/operations',
    operationId: 'listOperations',
    summary: 'List operations, newest first',
    description: 'They are kept for 30 days after their end.',
    tag: TAG,
    query: operationListQuery,
    responses: { 200: { description: 'A page of operations', schema: operationPageSchema } },
    errors: ['invalid-cursor'],
    handler: async ({ query, principal: { workspace } }) => {
      const { limit, cursor, status, kind } = query;
      const scope = { workspace, list: 'operations', filter: { status, kind } };
      const before = cursor === undefined ? undefined : await cursors.decode(scope, cursor);
      const found = await listOperations(database.main, {
        workspace,
        limit: limit + 1,
        ...(before === undefined ? {} : { before }),
        ...(status === undefined ? {} : { statuses: status }),
        ...(kind === undefined ? {} : { kinds: kind }),
      });
      const page = found.slice(0, limit);
      const last = page.at(-1);
      const nextCursor = found.length > page.length && last !== undefined ? await cursors.encode(scope, last.id) : null;
      return { status: 200, body: { items: page.map((operation) => operationAnswer(operation)), nextCursor } };
    },
  });
}

function readRoute({ database }: OperationRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: PATH,
    operationId: 'readOperation',
    summary: 'How far an operation is',
    tag: TAG,
    responses: { 200: { description: 'The operation', schema: operationSchema } },
    errors: ['not-found'],
    handler: async (request) => {
      const stored = await readOperation(database.main, targetOf(request));
      if (stored === undefined) throw new AppError('not-found');
      return { status: 200, body: operationAnswer(stored) };
    },
  });
}

function stopRoute({ database }: OperationRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: `${PATH}/stop`,
    operationId: 'stopOperation',
    summary: 'Stop an operation',
    description: 'What it has done stays done; nothing more is begun after this is answered.',
    tag: TAG,
    responses: { 202: { description: 'The stopped operation', schema: operationSchema } },
    errors: ['not-found', 'invalid-state'],
    handler: async (request) => {
      const target = targetOf(request);
      const outcome = await stopOperation(database, { ...target, by: request.principal.keyId });
      if (outcome.kind === 'not-found') throw new AppError('not-found');
      if (outcome.kind === 'refused') throw new AppError('invalid-state', { detail: `The operation is ${outcome.status}.` });
      return { status: 202, body: operationAnswer(outcome.operation), headers: { location: operationPath(target.id) } };
    },
  });
}

function targetOf({ params, principal }: Pick<ApiRequest, 'params' | 'principal'>): { id: string; workspace: string } {
  return { id: (params['id'] ?? '').toLowerCase(), workspace: principal.workspace };
}
