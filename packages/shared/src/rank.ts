// The order in which a workspace's ready work leaves the backlog.
import { timeOfId } from './ids.ts';

/** What one step of priority is worth: work of the next lower priority that is this much older goes first, so nothing starves. */
export const PRIORITY_STEP_MS = 60_000;

/** Lower goes first. It never changes, so ageing costs no update: priority and age are one number from the start. */
export function rankOf(flowId: string, priority: number): number {
  return timeOfId(flowId) + priority * PRIORITY_STEP_MS;
}
