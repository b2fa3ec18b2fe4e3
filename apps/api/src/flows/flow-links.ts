// Where a flow and its parts are found, and the answer that accepts one.
import { AppError, type AcceptedFlow } from '@millrace/shared';

export type FlowLinks = AcceptedFlow['links'];

export function flowLinks(id: string): FlowLinks {
  const self = `/v1/flows/${id}`;
  return {
    self,
    events: `${self}/events`,
    progress: `${self}/progress`,
    cancel: `${self}/cancel`,
    retry: `${self}/retry`,
    runPhase: `${self}/phases/{phase}/run`,
  };
}

/** The refusal of a start whose dedupe key another flow has. */
export function duplicateError(flowId: string): AppError {
  return new AppError('already-exists', { detail: `The flow ${flowId} has this dedupeKey and has not ended.` });
}

/** The answer that names a flow which was there before. */
export function existingFlow({
  status,
  ...accepted
}: {
  id: string;
  flow: string;
  version: number;
  status: AcceptedFlow['status'];
}): AcceptedFlow {
  return { ...acceptedFlow(accepted), status, deduplicated: true };
}

/** The body of a 202; kept with an idempotency key and given again to its replays. */
export function acceptedFlow({ id, flow, version }: { id: string; flow: string; version: number }): AcceptedFlow {
  return { id, flow, version, status: 'queued', links: flowLinks(id) };
}
