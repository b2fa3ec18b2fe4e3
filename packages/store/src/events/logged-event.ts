// An event as the statements that write it return it. Those who publish and serve it turn it into what clients read.
import type { FlowEvent, ImportEvent } from '@millrace/shared';

/** `subjectId` is a flow or an import; `phase` is null for events of the subject itself. */
export type LoggedEvent = {
  subjectId: string;
  seq: number;
  workspace: string;
  type: string;
  phase: string | null;
  at: string;
  data: Record<string, unknown>;
};

/** Who an event is about. */
export type EventSubject = Pick<LoggedEvent, 'subjectId' | 'workspace'>;

/** Events that one statement wrote about one subject, as the log keeps them: `entries` is JSON, [[type, phase or null, data], ...]. */
export type EventRun = {
  subjectId: string;
  workspace: string;
  at: string;
  /** The number of the last one. */ seq: number;
  entries: string;
};

/** SQL that logs one run, up to its SELECT of (subject_id, at, seq, workspace, entries), and what comes behind that to answer an EventRun. */
export const LOG_RUN = 'INSERT INTO millrace.event_log (subject_id, at, seq, workspace, entries)';
export const RETURNING_RUN = `RETURNING subject_id AS "subjectId", to_json(at)#>>'{}' AS at, seq, workspace, entries::text AS entries`;

/** The entries of a run, as JSON. */
export function entriesOf(events: readonly { type: string; phase?: string; data?: Record<string, unknown> }[]): string {
  return JSON.stringify(events.map(({ type, phase = null, data = {} }) => [type, phase, data]));
}

/** The events of a run, one by one. */
export function eventsOfRun({ subjectId, workspace, at, seq, entries }: EventRun): LoggedEvent[] {
  const parsed = JSON.parse(entries) as [type: string, phase: string | null, data: Record<string, unknown>][];
  const before = seq - parsed.length;
  return parsed.map(([type, phase, data], index) => ({ subjectId, seq: before + index + 1, workspace, type, phase, at, data }));
}

/** SQL for a JSON object of this shape, from the columns of the view millrace.events in scope. */
export const LOGGED_EVENT_JSON = `json_build_object('subjectId', subject_id, 'seq', seq, 'workspace', workspace, 'type', type, 'phase', phase, 'at', at, 'data', data)`;

/** The event as clients read it: times in RFC 3339 UTC with milliseconds. */
export function publicEvent(event: LoggedEvent): FlowEvent | ImportEvent {
  const common = { seq: event.seq, type: event.type, at: new Date(event.at).toISOString(), data: event.data };
  if (event.type.startsWith('import.')) return { ...common, importId: event.subjectId };
  return { ...common, flowId: event.subjectId, ...(event.phase === null ? {} : { phase: event.phase }) };
}
