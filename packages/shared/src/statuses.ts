// The words for where a flow, a phase, an attempt and an import stand, and which of them are the end.

/**
 * queued: accepted, nothing has run. running: at least one phase was claimed. waiting: every open phase waits for a signal or a time.
 * paused: nothing later starts. The rest is terminal.
 */
export const FLOW_STATUSES = ['queued', 'running', 'waiting', 'paused', 'completed', 'failed', 'cancelled'] as const;
export type FlowStatus = (typeof FLOW_STATUSES)[number];

/**
 * pending: needs other phases first. queued: ready to run. running: claimed under a lease. retrying: failed, will run again at its time.
 * waiting: parked for a signal or a time. skipped: a phase it needs failed. quarantined: its process died too often under it.
 */
export const PHASE_STATUSES = [
  'pending',
  'queued',
  'running',
  'retrying',
  'waiting',
  'completed',
  'failed',
  'skipped',
  'cancelled',
  'quarantined',
] as const;
export type PhaseStatus = (typeof PHASE_STATUSES)[number];

/** How an attempt that did not complete its phase ended. `interrupted` and `lost` cost no attempt: the process stopped or its lease ran out. */
export const ATTEMPT_OUTCOMES = ['failed', 'interrupted', 'lost', 'cancelled'] as const;
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number];

export const IMPORT_STATUSES = ['awaiting_content', 'queued', 'running', 'paused', 'completed', 'failed', 'cancelled', 'undone'] as const;
export type ImportStatus = (typeof IMPORT_STATUSES)[number];

const TERMINAL_FLOW: readonly FlowStatus[] = ['completed', 'failed', 'cancelled'];
const TERMINAL_IMPORT: readonly ImportStatus[] = ['completed', 'failed', 'cancelled', 'undone'];

export function isTerminalFlow(status: FlowStatus): boolean {
  return TERMINAL_FLOW.includes(status);
}

export function isTerminalImport(status: ImportStatus): boolean {
  return TERMINAL_IMPORT.includes(status);
}
