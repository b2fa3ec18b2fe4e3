// What happened, as clients read it.

/** A durable fact about a flow, numbered 1..n within it without a gap. */
export type FlowEvent = { seq: number; flowId: string; type: string; phase?: string; at: string; data: Record<string, unknown> };

/** A durable fact about an import, numbered like a flow's. */
export type ImportEvent = { seq: number; importId: string; type: string; at: string; data: Record<string, unknown> };

export const FLOW_END_EVENTS = ['flow.completed', 'flow.failed', 'flow.cancelled'] as const;
export const IMPORT_END_EVENTS = ['import.completed', 'import.failed', 'import.cancelled', 'import.undone'] as const;

/** True for the event that ends a run. */
export function isEndEvent(type: string): boolean {
  return (FLOW_END_EVENTS as readonly string[]).includes(type) || (IMPORT_END_EVENTS as readonly string[]).includes(type);
}

/** The latest progress of a phase. Lossy by design: the last one wins. */
export type Progress = { flowId: string; phase: string; fraction: number; message?: string; detail?: unknown; at: string };
