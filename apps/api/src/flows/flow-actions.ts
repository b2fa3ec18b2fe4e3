// Cancels, retries and signals flows, and announces it afterwards. The change is committed first; what cannot be announced is found later:
// streams look for new events themselves, and what a cancelled handler commits is refused.
import type { Logger } from '@millrace/process';
import type { ControlMessage, UpdateMessage } from '@millrace/redis';
import type { Dispatch } from '@millrace/shared';
import {
  publicEvent,
  type FlowActionOutcome,
  type LoggedEvent,
  type NewFlowPause,
  type NewSignal,
  type RerunOutcome,
  type ResumeOutcome,
  type SignalOutcome,
} from '@millrace/store';
import type { FlowTarget } from '../routes/flow-routes.ts';

export type FlowActions = {
  cancelFlow(target: FlowTarget & { by: string }): Promise<FlowActionOutcome>;
  retryFlow(target: FlowTarget): Promise<FlowActionOutcome>;
  rerunPhase(target: FlowTarget & { phase: string }): Promise<RerunOutcome>;
  sendSignal(signal: NewSignal): Promise<SignalOutcome>;
  pauseFlow(pause: NewFlowPause): Promise<FlowActionOutcome>;
  resumeFlow(target: FlowTarget & { by: string }): Promise<ResumeOutcome>;
};

export type FlowActionsDeps = FlowActions & {
  updates: { publishEvents(messages: readonly UpdateMessage[]): Promise<void>; publishControl(message: ControlMessage): Promise<void> };
  /** Puts what became ready into the queue. */
  dispatch(dispatches: readonly Dispatch[]): void;
  /** Tells the workers that something may be let in or dispatched now. */
  ring(what: 'admissions' | 'backlog'): void;
  log: Logger;
};

/** @param deps the store's own actions, and where to announce them */
export function createFlowActions(deps: FlowActionsDeps): FlowActions {
  const announce = (outcome: FlowActionOutcome | RerunOutcome | SignalOutcome, control?: ControlMessage) => {
    if (outcome.kind !== 'done' && outcome.kind !== 'sent') return;
    const published = [
      deps.updates.publishEvents(messagesOf(outcome.events)),
      ...(control === undefined ? [] : [deps.updates.publishControl(control)]),
    ];
    Promise.all(published).catch((error: unknown) => {
      deps.log.debug({ err: error }, 'a change could not be announced');
    });
    deps.ring('admissions');
    deps.ring('backlog');
  };
  return {
    cancelFlow: async (target) => {
      const outcome = await deps.cancelFlow(target);
      announce(outcome, { type: 'cancel', flowId: target.flowId });
      return outcome;
    },
    retryFlow: async (target) => {
      const outcome = await deps.retryFlow(target);
      announce(outcome);
      return outcome;
    },
    rerunPhase: async (target) => {
      const outcome = await deps.rerunPhase(target);
      announce(outcome);
      return outcome;
    },
    sendSignal: async (signal) => {
      const outcome = await deps.sendSignal(signal);
      announce(outcome);
      if (outcome.kind === 'sent') deps.dispatch(outcome.dispatches);
      return outcome;
    },
    pauseFlow: async (pause) => {
      const outcome = await deps.pauseFlow(pause);
      announce(outcome);
      return outcome;
    },
    resumeFlow: async (target) => {
      const outcome = await deps.resumeFlow(target);
      announce(outcome);
      if (outcome.kind === 'done') deps.dispatch(outcome.dispatches);
      return outcome;
    },
  };
}

/** Announces events of flows that were changed by the way. */
export function createAnnouncer({ updates, log }: Pick<FlowActionsDeps, 'updates' | 'log'>): (events: readonly LoggedEvent[]) => void {
  return (events) => {
    updates.publishEvents(messagesOf(events)).catch((error: unknown) => {
      log.debug({ err: error }, 'a change could not be announced');
    });
  };
}

/** One message per subject, its events as a JSON array. */
export function messagesOf(events: readonly LoggedEvent[]): UpdateMessage[] {
  const bySubject = Map.groupBy(events, (event) => event.subjectId);
  return [...bySubject].map(([subjectId, group]) => ({
    workspace: group[0]?.workspace ?? '',
    subjectId,
    json: JSON.stringify(group.map((event) => publicEvent(event))),
  }));
}
