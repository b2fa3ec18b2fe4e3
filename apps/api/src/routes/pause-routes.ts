// Pause and resume a flow.
import { AppError, flowSchema, pauseFlowSchema } from '@millrace/shared';
import type { Clock } from '@millrace/process';
import type { FlowActionOutcome, NewFlowPause, ResumeOutcome } from '@millrace/store';
import { flowLinks } from '../flows/flow-links.ts';
import { endTime } from '../http/input/end-time.ts';
import { defineRoute, type ApiReply, type ApiRequest, type Route } from '../http/route.ts';
import type { FlowTarget } from './flow-routes.ts';

export type PauseRoutesDeps = {
  clock: Clock;
  /** Both announce what came of it. */
  pauseFlow(pause: NewFlowPause): Promise<FlowActionOutcome>;
  resumeFlow(target: FlowTarget & { by: string }): Promise<ResumeOutcome>;
  readAnswer(target: FlowTarget): Promise<unknown>;
};

const TAG = 'Flows';

export function pauseRoutes(deps: PauseRoutesDeps): Route[] {
  return [pauseRoute(deps), resumeRoute(deps)];
}

function pauseRoute(deps: PauseRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: '/v1/flows/{id}/pause',
    operationId: 'pauseFlow',
    summary: 'Pause a flow',
    description:
      'What runs finishes, and nothing later starts; signals are kept, and no wait runs out, until it is resumed. Its own time limit runs on.',
    tag: TAG,
    body: { kind: 'json', schema: pauseFlowSchema, optional: true },
    responses: { 202: { description: 'The paused flow', schema: flowSchema } },
    errors: ['not-found', 'invalid-state'],
    handler: async (request) => {
      const { reason = null, until } = request.body;
      const pause = { reason: reason, until: endTime(until, deps.clock.nowMs()) };
      const target = targetOf(request);
      return reply(deps, target, await deps.pauseFlow({ ...target, ...pause, by: request.principal.keyId }));
    },
  });
}

function resumeRoute(deps: PauseRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: '/v1/flows/{id}/resume',
    operationId: 'resumeFlow',
    summary: 'Resume a paused flow',
    tag: TAG,
    responses: { 202: { description: 'The flow, which goes on', schema: flowSchema } },
    errors: ['not-found', 'invalid-state'],
    handler: async (request) => {
      const target = targetOf(request);
      return reply(deps, target, await deps.resumeFlow({ ...target, by: request.principal.keyId }));
    },
  });
}

async function reply(deps: PauseRoutesDeps, target: FlowTarget, outcome: FlowActionOutcome | ResumeOutcome): Promise<ApiReply> {
  if (outcome.kind === 'not-found') throw new AppError('not-found');
  if (outcome.kind === 'refused') throw new AppError('invalid-state', { detail: `The flow is ${outcome.status}.` });
  return { status: 202, body: await deps.readAnswer(target), headers: { location: flowLinks(target.flowId).self } };
}

function targetOf(request: Pick<ApiRequest, 'params' | 'principal'>): FlowTarget {
  return { flowId: (request.params['id'] ?? '').toLowerCase(), workspace: request.principal.workspace };
}
