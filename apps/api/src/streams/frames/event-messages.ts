// Reads what the doorbell channels carry. It comes over the network, so it is checked; what does not fit only counts as a ring.
import type { FlowEvent, ImportEvent } from '@millrace/shared';

/** The events of a message, or undefined when it is none of ours. */
export function parseEvents(message: string): (FlowEvent | ImportEvent)[] | undefined {
  const value = parse(message);
  return Array.isArray(value) && value.every((item) => isEvent(item)) ? value : undefined;
}

/** A progress report and the phase it is about, or undefined when it is none. */
export function parseProgress(message: string): { phase: string; report: unknown } | undefined {
  const value = parse(message);
  if (typeof value !== 'object' || value === null || !('phase' in value) || typeof value.phase !== 'string') return undefined;
  return { phase: value.phase, report: value };
}

function isEvent(value: unknown): value is FlowEvent | ImportEvent {
  if (typeof value !== 'object' || value === null || !('seq' in value) || !('type' in value)) return false;
  return (
    Number.isInteger(value.seq) && Number(value.seq) >= 1 && typeof value.type === 'string' && ('flowId' in value || 'importId' in value)
  );
}

function parse(message: string): unknown {
  try {
    return JSON.parse(message);
  } catch {
    return undefined;
  }
}
