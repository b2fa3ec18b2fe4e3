// Search and count flows.
import {
  FLOW_FILTER_REPEATABLE,
  flowCountQuery,
  flowCountSchema,
  flowListQuery,
  flowPageSchema,
  type FlowListQuery,
  type Principal,
} from '@millrace/shared';
import type { FlowCount, FlowFilter, FlowPage } from '@millrace/store';
import { listedFlowAnswer } from '../flows/flow-answer.ts';
import { storeFilterOf } from '../flows/flow-filter.ts';
import type { Cursors, CursorScope } from '../http/input/cursors.ts';
import { defineRoute, type Route } from '../http/route.ts';

export type FlowSearchRoutesDeps = {
  cursors: Cursors;
  searchFlows(filter: FlowFilter, page: { before?: string; limit: number }): Promise<FlowPage>;
  countFlows(filter: FlowFilter): Promise<FlowCount>;
};

const TAG = 'Flows';

export function flowSearchRoutes(deps: FlowSearchRoutesDeps): Route[] {
  return [listRoute(deps), countRoute(deps)];
}

function listRoute({ cursors, searchFlows }: FlowSearchRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/flows',
    operationId: 'listFlows',
    summary: 'Search flows, newest first',
    description:
      'No page looks at more flows than it can in about half a second: a search for something rare may answer fewer items than `limit`, or none, with a `nextCursor` to go on with. Without `nextCursor` there are no more.',
    tag: TAG,
    query: flowListQuery,
    repeatable: FLOW_FILTER_REPEATABLE,
    responses: { 200: { description: 'A page of flows without inputs and outputs', schema: flowPageSchema } },
    errors: ['invalid-cursor'],
    handler: async ({ query, principal }) => {
      const scope = listScope(query, principal);
      const before = query.cursor === undefined ? undefined : await cursors.decode(scope, query.cursor);
      const page = await searchFlows(
        { ...storeFilterOf(query), workspace: principal.workspace },
        { ...(before === undefined ? {} : { before }), limit: query.limit },
      );
      const nextCursor = page.next === null ? null : await cursors.encode(scope, page.next);
      return { status: 200, body: { items: page.flows.map((flow) => listedFlowAnswer(flow)), nextCursor } };
    },
  });
}

function listScope({ limit: _limit, cursor: _cursor, ...filter }: FlowListQuery, principal: Principal): CursorScope {
  return { workspace: principal.workspace, list: 'flows', filter };
}

function countRoute({ countFlows }: FlowSearchRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/flows/count',
    operationId: 'countFlows',
    summary: 'Count the flows of a search',
    description: 'Counting ends at 10,000, or when it has looked for about two seconds; then `capped` is true.',
    tag: TAG,
    query: flowCountQuery,
    repeatable: FLOW_FILTER_REPEATABLE,
    responses: { 200: { description: 'The count', schema: flowCountSchema } },
    errors: [],
    handler: async ({ query, principal }) => ({
      status: 200,
      body: await countFlows({ ...storeFilterOf(query), workspace: principal.workspace }),
    }),
  });
}
