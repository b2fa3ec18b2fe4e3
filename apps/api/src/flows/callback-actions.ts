// Ends attempts that services answer by callback, and announces it afterwards. The change is committed first; what cannot be announced is
// found later, as with every other change of a flow.
import type { Logger } from '@millrace/process';
import type { UpdateMessage } from '@millrace/redis';
import type { Dispatch } from '@millrace/shared';
import type { CallbackFailure, CallbackOutcome } from '@millrace/store';
import { messagesOf } from './flow-actions.ts';

export type CallbackActions = {
  completeCallback(answer: { token: string; outputJson: string }): Promise<CallbackOutcome>;
  failCallback(failure: CallbackFailure): Promise<CallbackOutcome>;
};

export type CallbackActionsDeps = CallbackActions & {
  updates: { publishEvents(messages: readonly UpdateMessage[]): Promise<void> };
  dispatch(dispatches: readonly Dispatch[]): void;
  log: Logger;
};

/** @param deps the store's own actions, and where to announce them */
export function createCallbackActions(deps: CallbackActionsDeps): CallbackActions {
  const announced = (outcome: CallbackOutcome): CallbackOutcome => {
    if (outcome.kind !== 'accepted') return outcome;
    deps.updates.publishEvents(messagesOf(outcome.events)).catch((error: unknown) => {
      deps.log.debug({ err: error }, 'the end of an attempt could not be announced');
    });
    deps.dispatch(outcome.dispatches);
    return outcome;
  };
  return {
    completeCallback: async (answer) => announced(await deps.completeCallback(answer)),
    failCallback: async (failure) => announced(await deps.failCallback(failure)),
  };
}
