// Rings the doorbell after commits, for subjects that somebody listens to: events grouped by subject, many in one pipeline. Best effort: who
// listens fills gaps from PostgreSQL. To most flows nobody listens, so it is asked before anything is made of their events.
import { createMicroBatcher, type Logger } from '@millrace/process';
import type { UpdateMessage, UpdatePublisher } from '@millrace/redis';
import { publicEvent, type EventSubject, type LoggedEvent } from '@millrace/store';

export type EventPublisher = {
  publish(events: readonly LoggedEvent[] | EventSource): void;
  /** How many messages could not be sent since the start. */
  failedCount(): number;
  drain(): Promise<void>;
};

/** What one statement has written: `events` is asked for only when somebody listens to one of the subjects. */
export type EventSource = { readonly subjects: readonly EventSubject[]; readonly events: readonly LoggedEvent[] };

/** Weights are subjects. */
const BATCH = { batchMax: 500, inFlightMax: 2, pendingMax: 20_000, weightMax: 1_000, pendingWeightMax: 20_000 };

export function createEventPublisher({ updates, log }: { updates: UpdatePublisher; log: Logger }): EventPublisher {
  let failed = 0;
  const batcher = createMicroBatcher<EventSource, null>({
    ...BATCH,
    weigh: ({ subjects }) => subjects.length,
    send: async (sources) => {
      const heard = await updates.heard(sources.flatMap(({ subjects }) => subjects));
      let next = 0;
      const messages = sources.flatMap((source) => messagesOf(source, heard.slice(next, (next += source.subjects.length))));
      await updates.publishEvents(messages);
      return sources.map(() => null);
    },
  });
  return {
    publish: (events) => {
      const source = 'subjects' in events ? events : { subjects: subjectsOf(events), events };
      if (source.subjects.length === 0) return;
      batcher.add(source).catch((error: unknown) => {
        failed += source.subjects.length;
        log.debug({ err: error }, 'doorbells were not rung');
      });
    },
    failedCount: () => failed,
    drain: () => batcher.drain(),
  };
}

function subjectsOf(events: readonly LoggedEvent[]): EventSubject[] {
  return [...new Map(events.map(({ subjectId, workspace }) => [subjectId, { subjectId, workspace }])).values()];
}

function messagesOf(source: EventSource, heard: readonly boolean[]): UpdateMessage[] {
  if (!heard.includes(true)) return [];
  const wanted = new Set(source.subjects.filter((_, index) => heard[index]).map(({ subjectId }) => subjectId));
  return bySubject(source.events.filter(({ subjectId }) => wanted.has(subjectId)));
}

/** One message per subject, its events in order as a JSON array of what clients read. */
export function bySubject(events: readonly LoggedEvent[]): UpdateMessage[] {
  return [...Map.groupBy(events, (event) => event.subjectId)].map(([subjectId, group]) => ({
    workspace: group[0]?.workspace ?? '',
    subjectId,
    json: JSON.stringify(group.map((event) => publicEvent(event))),
  }));
}
