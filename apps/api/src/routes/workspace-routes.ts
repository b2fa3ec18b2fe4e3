// Workspaces: which there are, and how much each may have of the workers.
import {
  AppError,
  DEFAULT_WORKSPACE,
  workspaceChangeSchema,
  workspaceListQuery,
  workspacePageSchema,
  workspaceSchema,
} from '@millrace/shared';
import type { StoredWorkspace } from '@millrace/store';
import type { Cursors } from '../http/input/cursors.ts';
import { defineRoute, type Route } from '../http/route.ts';

export type WorkspaceRoutesDeps = {
  cursors: Cursors;
  /** `only`: no other than this. */
  listWorkspaces(page: { after: string | null; only: string | null; limit: number }): Promise<StoredWorkspace[]>;
  /** Undefined when there is no such workspace. */
  setWeight(change: { name: string; weight: number }): Promise<StoredWorkspace | undefined>;
};

const TAG = 'Workspaces';

export function workspaceRoutes(deps: WorkspaceRoutesDeps): Route[] {
  return [listRoute(deps), changeRoute(deps)];
}

function listRoute(deps: WorkspaceRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/workspaces',
    operationId: 'listWorkspaces',
    summary: 'List workspaces by name',
    description: 'Admins of the workspace `default` see all of them, others their own.',
    tag: TAG,
    query: workspaceListQuery,
    responses: { 200: { description: 'A page of workspaces', schema: workspacePageSchema } },
    errors: ['invalid-cursor'],
    handler: async ({ query, principal }) => {
      const scope = { workspace: principal.workspace, list: 'workspaces', filter: null };
      const after = query.cursor === undefined ? null : await deps.cursors.decode(scope, query.cursor);
      const only = principal.workspace === DEFAULT_WORKSPACE ? null : principal.workspace;
      const found = await deps.listWorkspaces({ after, only, limit: query.limit + 1 });
      const page = found.slice(0, query.limit);
      const last = page.at(-1);
      const nextCursor = found.length > page.length && last !== undefined ? await deps.cursors.encode(scope, last.name) : null;
      return { status: 200, body: { items: page.map((workspace) => answerOf(workspace)), nextCursor } };
    },
  });
}

function changeRoute(deps: WorkspaceRoutesDeps): Route {
  return defineRoute({
    method: 'patch',
    path: '/v1/workspaces/{name}',
    operationId: 'changeWorkspace',
    summary: "Change a workspace's share",
    description:
      'Only for admins of the workspace `default`, because it is a share of what all have. Work that is not yet in the queue goes by it within a second.',
    tag: TAG,
    nameParams: ['name'],
    body: { kind: 'json', schema: workspaceChangeSchema },
    responses: { 200: { description: 'The workspace', schema: workspaceSchema } },
    errors: ['not-found'],
    handler: async ({ params, body, principal }) => {
      if (principal.workspace !== DEFAULT_WORKSPACE)
        throw new AppError('insufficient-role', { detail: 'Only admins of the workspace `default` may change the shares.' });
      const changed = await deps.setWeight({ name: params['name'] ?? '', weight: body.weight });
      if (changed === undefined) throw new AppError('not-found');
      return { status: 200, body: answerOf(changed) };
    },
  });
}

function answerOf({ name, weight, created_at: createdAt }: StoredWorkspace) {
  return { name, weight, createdAt: createdAt.toISOString() };
}
