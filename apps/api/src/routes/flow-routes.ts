// Start, read, cancel and retry flows.
import { acceptedFlowSchema, AppError, flowSchema, newFlowSchema, progressListSchema, type NewFlowBody } from '@millrace/shared';
import type { FlowActionOutcome, FlowSnapshot, KeptStart, StartedFlow, StartKey } from '@millrace/store';
import type { FlowAcceptor, FlowDraft } from '../flows/accept-flow.ts';
import { flowAnswer } from '../flows/flow-answer.ts';
import type { FlowIntake } from '../flows/flow-intake.ts';
import { duplicateError, flowLinks } from '../flows/flow-links.ts';
import type { ProgressReader } from '../flows/latest-progress.ts';
import { bodyHashOf, idempotencyKeyOf, replayedBody } from '../http/input/idempotency-key.ts';
import { defineRoute, type ApiReply, type ApiRequest, type Route } from '../http/route.ts';

export type FlowRoutesDeps = {
  acceptor: FlowAcceptor;
  intake: FlowIntake;
  readKept: KeptStartReader;
  readProgress: ProgressReader;
  readFlow(target: FlowTarget): Promise<FlowSnapshot | undefined>;
  flowExists(target: FlowTarget): Promise<boolean>;
  /** Cancels or retries, and announces what came of it. */
  cancelFlow(target: FlowTarget & { by: string }): Promise<FlowActionOutcome>;
  retryFlow(target: FlowTarget): Promise<FlowActionOutcome>;
};

/** The answers that were given under these keys to the same bodies before. */
export type KeptStartReader = (workspace: string, keys: readonly StartKey[]) => Promise<(KeptStart | undefined)[]>;

export type FlowTarget = { flowId: string; workspace: string };

const TAG = 'Flows';
export const IDEMPOTENCY_HEADER = {
  'Idempotency-Key': 'Optional; 1 to 255 visible ASCII characters. The same key and body again within 24 h answer with the first result.',
};
const CREATE_SCOPE = 'POST /v1/flows';

export function flowRoutes(deps: FlowRoutesDeps): Route[] {
  return [createRoute(deps), readRoute(deps), progressRoute(deps), cancelRoute(deps), retryRoute(deps)];
}

function createRoute(deps: FlowRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: '/v1/flows',
    operationId: 'createFlow',
    summary: 'Start a flow',
    description: 'Answered after the flow is committed to PostgreSQL; it will reach a terminal status whatever happens.',
    tag: TAG,
    headers: IDEMPOTENCY_HEADER,
    body: { kind: 'json', schema: newFlowSchema },
    responses: {
      202: {
        description: 'Accepted',
        schema: acceptedFlowSchema,
        headers: { Location: 'The flow', 'Idempotency-Replayed': '`true` when this is the answer of an earlier request' },
      },
    },
    errors: [
      'idempotency-key-invalid',
      'idempotency-in-progress',
      'idempotency-key-reused',
      'already-exists',
      'unknown-flow',
      'invalid-flow',
    ],
    handler: async (request) => {
      const key = idempotencyKeyOf(request.headers);
      const idempotency = key === null ? null : { route: CREATE_SCOPE, key, bodyHash: bodyHashOf(request.body) };
      return createdReply(await startOnce(deps, { request, idempotency, isGone: request.isAbandoned }));
    },
  });
}

type StartRequest = { request: ApiRequest<unknown, NewFlowBody>; idempotency: StartKey | null; isGone(): boolean };

// What was started before is answered before it is judged: meanwhile its time may have passed, or its definition be gone.
async function startOnce(deps: FlowRoutesDeps, { request, idempotency, isGone }: StartRequest): Promise<StartedFlow> {
  const { body, principal } = request;
  let draft: FlowDraft;
  try {
    draft = deps.acceptor.accept(body, principal);
  } catch (error) {
    const [kept] = idempotency === null ? [] : await deps.readKept(principal.workspace, [idempotency]);
    if (kept === undefined) throw error;
    return kept;
  }
  return deps.intake.createOne({ draft, idempotency }, isGone);
}

function createdReply(created: StartedFlow): ApiReply {
  if (created.kind === 'duplicate') throw duplicateError(created.flowId);
  if (created.kind === 'key-reused')
    throw new AppError('idempotency-key-reused', {
      errors: [{ pointer: 'Idempotency-Key', code: 'idempotency-key-reused', message: 'It was used with another body.' }],
    });
  const location = (created.body as { links: { self: string } }).links.self;
  if (created.kind !== 'replayed') return { status: created.status, body: created.body, headers: { location } };
  return {
    status: created.status,
    body: replayedBody(acceptedFlowSchema, created.body),
    headers: { location, 'idempotency-replayed': 'true' },
  };
}

function readRoute(deps: FlowRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/flows/{id}',
    operationId: 'readFlow',
    summary: 'Read a flow with its phases',
    tag: TAG,
    responses: { 200: { description: 'The flow', schema: flowSchema } },
    errors: ['not-found'],
    handler: async (request) => ({ status: 200, body: await readAnswer(deps, targetOf(request)) }),
  });
}

function progressRoute(deps: FlowRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/flows/{id}/progress',
    operationId: 'readFlowProgress',
    summary: 'Latest progress of each phase that has reported any',
    tag: TAG,
    responses: { 200: { description: 'Empty while Redis is away', schema: progressListSchema } },
    errors: ['not-found'],
    handler: async (request) => {
      const target = targetOf(request);
      if (!(await deps.flowExists(target))) throw new AppError('not-found');
      return { status: 200, body: { items: [...(await deps.readProgress(target)).values()] } };
    },
  });
}

function cancelRoute(deps: FlowRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: '/v1/flows/{id}/cancel',
    operationId: 'cancelFlow',
    summary: 'Cancel a flow',
    description:
      'The flow is `cancelled` at once; handlers that run are told, and can commit nothing any more. `cancellation` shows what became of each.',
    tag: TAG,
    responses: { 202: { description: 'The cancelled flow', schema: flowSchema } },
    errors: ['not-found', 'invalid-state'],
    handler: async (request) => {
      const target = targetOf(request);
      return actionReply(deps, target, await deps.cancelFlow({ ...target, by: request.principal.keyId }));
    },
  });
}

function retryRoute(deps: FlowRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: '/v1/flows/{id}/retry',
    operationId: 'retryFlow',
    summary: 'Open a new run of a failed flow',
    description: 'What failed or was skipped starts over; completed phases keep their output.',
    tag: TAG,
    responses: { 202: { description: 'The flow in its new run', schema: flowSchema } },
    errors: ['not-found', 'invalid-state'],
    handler: async (request) => {
      const target = targetOf(request);
      return actionReply(deps, target, await deps.retryFlow(target));
    },
  });
}

async function actionReply(deps: FlowRoutesDeps, target: FlowTarget, outcome: FlowActionOutcome): Promise<ApiReply> {
  if (outcome.kind === 'not-found') throw new AppError('not-found');
  if (outcome.kind === 'refused') throw new AppError('invalid-state', { detail: `The flow is ${outcome.status}.` });
  return { status: 202, body: await readAnswer(deps, target), headers: { location: flowLinks(target.flowId).self } };
}

/** Reads a flow as clients see it. @throws AppError not-found */
export function flowReader(
  deps: Pick<FlowRoutesDeps, 'readFlow' | 'readProgress'>,
): (target: FlowTarget) => Promise<ReturnType<typeof flowAnswer>> {
  return (target) => readAnswer(deps, target);
}

async function readAnswer(deps: Pick<FlowRoutesDeps, 'readFlow' | 'readProgress'>, target: FlowTarget) {
  const [stored, progress] = await Promise.all([deps.readFlow(target), deps.readProgress(target)]);
  if (stored === undefined) throw new AppError('not-found');
  return flowAnswer(stored, progress);
}

function targetOf(request: Pick<ApiRequest, 'params' | 'principal'>): FlowTarget {
  return { flowId: (request.params['id'] ?? '').toLowerCase(), workspace: request.principal.workspace };
}
