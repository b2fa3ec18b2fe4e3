// Content negotiation between the two forms of an event log.
import { preferredOverJson } from '../http/input/accept.ts';

/** True when Accept names text/event-stream and does not prefer application/json. */
export function wantsEventStream(accept: string | undefined): boolean {
  return preferredOverJson(accept, ['text/event-stream']) !== undefined;
}
