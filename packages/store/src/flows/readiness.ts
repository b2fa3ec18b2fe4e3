// What a phase becomes when nothing keeps it any more: the pieces of SQL that every statement which frees phases shares.

/** Queues of these workspaces are paused; an empty name stands for all. As an expression that is evaluated once per statement. */
export const PAUSED_WORKSPACES = `ARRAY(SELECT workspace FROM millrace.queue_pauses WHERE queue = 'flow-phase' AND (until IS NULL OR until > now()))`;

/** Whether the flow queue of the workspace in this column is paused. */
export function isQueuePaused(column: string): string {
  return `(${column} = ANY(${PAUSED_WORKSPACES}) OR '' = ANY(${PAUSED_WORKSPACES}))`;
}

/** Why the phases of the flow in this table may not be dispatched now, as far as the flow decides that; null when they may. */
export function holdOfFlow(flow: string): string {
  return `CASE WHEN ${flow}.status = 'paused' THEN 'pause' WHEN NOT ${flow}.admitted THEN 'limit' END`;
}

/** The same for a phase of it. */
export function holdOfPhase(flowHold: string, phase: string): string {
  return `coalesce(${flowHold}, CASE WHEN ${phase}.rate_key IS NOT NULL THEN 'rate' END)`;
}
