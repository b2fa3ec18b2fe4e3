// Rings the doorbell after commits, for subjects that somebody listens to: events grouped by subject, many in one pipeline. Best effort: who
// listens fills gaps from PostgreSQL.
import { createMicroBatcher, type Logger } from '@millrace/process';
import type { UpdateMessage, UpdatePublisher } from '@millrace/redis';
import { publicEvent, type LoggedEvent } from '@millrace/store';

export type EventPublisher = {
  publish(events: readonly LoggedEvent[]): void;
  /** How many messages could not be sent since the start. */
  failedCount(): number;
  drain(): Promise<void>;
};

const BATCH = { batchMax: 500, inFlightMax: 2, pendingMax: 20_000 };

export function createEventPublisher({ updates, log }: { updates: UpdatePublisher; log: Logger }): EventPublisher {
  let failed = 0;
  const batcher = createMicroBatcher<SubjectEvents, null>({
    ...BATCH,
    send: async (groups) => {
      const heard = await updates.heard(groups);
      await updates.publishEvents(groups.filter((_, index) => heard[index]).map(messageOf));
      return groups.map(() => null);
    },
  });
  return {
    publish: (events) => {
      for (const group of groupBySubject(events)) {
        batcher.add(group).catch((error: unknown) => {
          failed += 1;
          log.debug({ err: error }, 'a doorbell was not rung');
        });
      }
    },
    failedCount: () => failed,
    drain: () => batcher.drain(),
  };
}

/** One message per subject, its events in order as a JSON array of what clients read. */
export function bySubject(events: readonly LoggedEvent[]): UpdateMessage[] {
  return groupBySubject(events).map(messageOf);
}

type SubjectEvents = { workspace: string; subjectId: string; events: readonly LoggedEvent[] };

function groupBySubject(events: readonly LoggedEvent[]): SubjectEvents[] {
  const groups = Map.groupBy(events, (event) => event.subjectId);
  return [...groups].map(([subjectId, group]) => ({ workspace: group[0]?.workspace ?? '', subjectId, events: group }));
}

function messageOf({ workspace, subjectId, events }: SubjectEvents): UpdateMessage {
  return { workspace, subjectId, json: JSON.stringify(events.map((event) => publicEvent(event))) };
}
