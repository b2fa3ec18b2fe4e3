// Signals: what a phase that waits for one is given, and what lets its flow go on.
import { AppError, flowSchema, LIMITS, storableJson } from '@millrace/shared';
import type { NewSignal, SignalOutcome } from '@millrace/store';
import { z } from 'zod';
import { flowLinks } from '../flows/flow-links.ts';
import { defineRoute, type ApiReply, type Route } from '../http/route.ts';

export type SignalRoutesDeps = {
  /** Sends the signal, and announces and dispatches what came of it. */
  sendSignal(signal: NewSignal): Promise<SignalOutcome>;
  readAnswer(target: { flowId: string; workspace: string }): Promise<unknown>;
};

export function signalRoutes(deps: SignalRoutesDeps): Route[] {
  return [
    defineRoute({
      method: 'post',
      path: '/v1/flows/{id}/signals/{name}',
      operationId: 'sendSignal',
      summary: 'Send a signal to a flow',
      description:
        'The body, any JSON, becomes the output of the phase that waits for this signal. One that comes early is kept. A second one of the same name is refused.',
      tag: 'Flows',
      nameParams: ['name'],
      body: { kind: 'json', schema: z.unknown() },
      responses: { 202: { description: 'The flow', schema: flowSchema } },
      errors: ['not-found', 'invalid-state', 'already-exists'],
      handler: async (request) => {
        const target = { flowId: (request.params['id'] ?? '').toLowerCase(), workspace: request.principal.workspace };
        const body = storableJson(request.body, LIMITS.outputBytesMax);
        if (!body.ok) throw new AppError('validation', { detail: `The body cannot be kept: ${body.problem}.` });
        const name = request.params['name'] ?? '';
        return reply(deps, target, {
          name,
          outcome: await deps.sendSignal({ ...target, name, bodyJson: body.text, by: request.principal.keyId }),
        });
      },
    }),
  ];
}

async function reply(
  deps: SignalRoutesDeps,
  target: { flowId: string; workspace: string },
  { name, outcome }: { name: string; outcome: SignalOutcome },
): Promise<ApiReply> {
  switch (outcome.kind) {
    case 'not-found':
      throw new AppError('not-found');
    case 'refused':
      throw new AppError('invalid-state', { detail: `The flow is ${outcome.status}.` });
    case 'already-sent':
      throw new AppError('already-exists', { detail: `The signal ${JSON.stringify(name)} was sent before.` });
    case 'sent':
      return { status: 202, body: await deps.readAnswer(target), headers: { location: flowLinks(target.flowId).self } };
  }
}
