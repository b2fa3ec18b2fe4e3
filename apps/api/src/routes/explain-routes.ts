// Why a flow does not go on.
import { AppError, explainSchema } from '@millrace/shared';
import type { ExplainFacts } from '@millrace/store';
import { explainFlow } from '../explain/explain-flow.ts';
import { defineRoute, type Route } from '../http/route.ts';
import type { FlowTarget } from './flow-routes.ts';

export type ExplainRoutesDeps = {
  readFacts(target: FlowTarget): Promise<ExplainFacts | undefined>;
  isRedisReady(): boolean;
};

export function explainRoutes(deps: ExplainRoutesDeps): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/v1/flows/{id}/explain',
      operationId: 'explainFlow',
      summary: 'Why a flow does not go on',
      description:
        'Names one cause: of several, the one that somebody can do something about, or whose end is known. On a terminal flow it is `finished`.',
      tag: 'Flows',
      responses: { 200: { description: 'The cause, what blocks, and when it clears', schema: explainSchema } },
      errors: ['not-found'],
      handler: async ({ params, principal }) => {
        const facts = await deps.readFacts({ flowId: (params['id'] ?? '').toLowerCase(), workspace: principal.workspace });
        if (facts === undefined) throw new AppError('not-found');
        return { status: 200, body: explainFlow({ ...facts, isRedisReady: deps.isRedisReady() }) };
      },
    }),
  ];
}
