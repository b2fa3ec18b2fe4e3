// Rings the doorbell after commits: events grouped by subject, many in one pipeline. Best effort: who listens fills gaps from PostgreSQL.
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
  const batcher = createMicroBatcher<UpdateMessage, null>({
    ...BATCH,
    send: async (messages) => {
      await updates.publishEvents(messages);
      return messages.map(() => null);
    },
  });
  return {
    publish: (events) => {
      for (const message of bySubject(events)) {
        batcher.add(message).catch((error: unknown) => {
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
  const groups = Map.groupBy(events, (event) => event.subjectId);
  return [...groups.values()].map((group) => {
    const first = group[0];
    if (first === undefined) throw new Error('groupBy made an empty group');
    return { workspace: first.workspace, subjectId: first.subjectId, json: JSON.stringify(group.map((event) => publicEvent(event))) };
  });
}
