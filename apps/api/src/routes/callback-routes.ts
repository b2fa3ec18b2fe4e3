// Callbacks: how a service outside ends the attempt at a phase that it was asked for. The token says which, and is all that it needs;
// it comes in a header, so that no access log on the way has it.
import { AppError, callbackAnswerSchema, callbackSchema, LIMITS, storableJson, type CallbackBody } from '@millrace/shared';
import type { CallbackOutcome } from '@millrace/store';
import type { CallbackActions } from '../flows/callback-actions.ts';
import { bearerOf, CALLBACK_PATH } from '../http/find-caller.ts';
import { defineRoute, type ApiReply, type Route } from '../http/route.ts';

/** Beyond the largest output: its name and the braces around it. */
const FRAME_BYTES = 1_024;

/** @param actions end the attempt, announce it and dispatch what came of it */
export function callbackRoutes(actions: CallbackActions): Route[] {
  return [
    defineRoute({
      method: 'post',
      path: CALLBACK_PATH,
      operationId: 'answerCallback',
      summary: 'Answer the request of an http phase',
      description:
        'For services that answered the request of a phase with 202. The first callback ends the attempt; a second one is refused with 409, so a service that got no answer may send its callback again and take 409 for a success. 404: the token is none of this server, or the attempt is over.',
      tag: 'Callbacks',
      body: { kind: 'json', schema: callbackSchema, maxBytes: LIMITS.outputBytesMax + FRAME_BYTES },
      responses: { 200: { description: 'What became of the phase', schema: callbackAnswerSchema } },
      errors: ['not-found', 'invalid-state'],
      handler: async ({ raw, body }) => reply(await end(actions, bearerOf(raw().req), body)),
    }),
  ];
}

function end(actions: CallbackActions, token: string, { output, error }: CallbackBody): Promise<CallbackOutcome> {
  if (error !== undefined) {
    const { code, message, retryable } = error;
    return actions.failCallback({ token, error: { code, message }, retryable });
  }
  const kept = storableJson(output, LIMITS.outputBytesMax);
  if (!kept.ok) throw new AppError('validation', { detail: `The output cannot be kept: ${kept.problem}.` });
  return actions.completeCallback({ token, outputJson: kept.text });
}

function reply(outcome: CallbackOutcome): ApiReply {
  switch (outcome.kind) {
    case 'unknown':
      throw new AppError('not-found');
    case 'refused':
      throw new AppError('invalid-state', {
        detail:
          outcome.because === 'flow-ended'
            ? `The flow is ${outcome.status}.`
            : `This attempt was ended before; the phase is ${outcome.status}.`,
      });
    case 'accepted':
      return { status: 200, body: { status: outcome.status } };
  }
}
