// Where a flow and its parts are found, and the answer that accepts one.
import type { AcceptedFlow } from '@millrace/shared';

export type FlowLinks = AcceptedFlow['links'];

export function flowLinks(id: string): FlowLinks {
  const self = `/v1/flows/${id}`;
  return { self, events: `${self}/events`, progress: `${self}/progress`, cancel: `${self}/cancel`, retry: `${self}/retry` };
}

/** The body of a 202; kept with an idempotency key and given again to its replays. */
export function acceptedFlow({ id, flow, version }: { id: string; flow: string; version: number }): AcceptedFlow {
  return { id, flow, version, status: 'queued', links: flowLinks(id) };
}
