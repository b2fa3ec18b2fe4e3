// Runs a phase of an ended flow again, and what depends on it.
import { AppError, flowSchema } from '@millrace/shared';
import type { RerunOutcome } from '@millrace/store';
import { flowLinks } from '../flows/flow-links.ts';
import { defineRoute, type ApiReply, type Route } from '../http/route.ts';
import type { FlowTarget } from './flow-routes.ts';

export type RerunRoutesDeps = {
  /** Opens the new run and announces it. */
  rerunPhase(target: FlowTarget & { phase: string }): Promise<RerunOutcome>;
  readAnswer(target: FlowTarget): Promise<unknown>;
};

export function rerunRoutes(deps: RerunRoutesDeps): Route[] {
  return [
    defineRoute({
      method: 'post',
      path: '/v1/flows/{id}/phases/{phase}/run',
      operationId: 'rerunPhase',
      summary: 'Run a phase again, and what depends on it',
      description:
        'Opens a new run of a completed or failed flow, in which the phase and everything that depends on it, directly or through others, starts over: ' +
        'their outputs, kept steps and signals are those of the new run. All other phases stay as they are; one that failed lets the new run end as failed. ' +
        'Refused with 409 while the flow has not ended, when it is cancelled, and when a phase that would be needed has not come to a good end.',
      tag: 'Flows',
      nameParams: ['phase'],
      responses: { 202: { description: 'The flow in its new run', schema: flowSchema } },
      errors: ['not-found', 'invalid-state'],
      handler: async (request) => {
        const target = { flowId: (request.params['id'] ?? '').toLowerCase(), workspace: request.principal.workspace };
        return reply(deps, target, await deps.rerunPhase({ ...target, phase: request.params['phase'] ?? '' }));
      },
    }),
  ];
}

async function reply(deps: RerunRoutesDeps, target: FlowTarget, outcome: RerunOutcome): Promise<ApiReply> {
  switch (outcome.kind) {
    case 'not-found':
      throw new AppError('not-found');
    case 'refused':
      throw new AppError('invalid-state', { detail: `The flow is ${outcome.status}.` });
    case 'blocked':
      throw new AppError('invalid-state', {
        detail: `Needed phases have not come to a good end: ${outcome.by.map(({ name, status }) => `${name} (${status})`).join(', ')}.`,
      });
    case 'done':
      return { status: 202, body: await deps.readAnswer(target), headers: { location: flowLinks(target.flowId).self } };
  }
}
