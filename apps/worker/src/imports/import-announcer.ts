// After a commit: rings the doorbell for events and puts jobs into the queue. Best effort, because the reconciler and the readers of
// the event log make up for what does not arrive.
import type { Logger } from '@millrace/process';
import type { JobDispatcher } from '@millrace/queue';
import type { UpdatePublisher } from '@millrace/redis';
import type { Dispatch } from '@millrace/shared';
import type { LoggedEvent } from '@millrace/store';
import { bySubject } from '../engine/event-publisher.ts';

export type ImportAnnouncerDeps = {
  updates: Pick<UpdatePublisher, 'publishEvents'>;
  dispatcher: Pick<JobDispatcher, 'dispatch'>;
  log: Logger;
};

/** Settles when both were tried; never rejects. */
export async function announce(
  deps: ImportAnnouncerDeps,
  { events, dispatches }: { events: readonly LoggedEvent[]; dispatches: readonly Dispatch[] },
): Promise<void> {
  const [dispatched, published] = await Promise.allSettled([
    deps.dispatcher.dispatch('data-import', dispatches),
    events.length === 0 ? undefined : deps.updates.publishEvents(bySubject(events)),
  ]);
  if (dispatched.status === 'rejected') deps.log.debug({ err: dispatched.reason }, 'a chunk was not dispatched, the reconciler will');
  if (published.status === 'rejected') deps.log.debug({ err: published.reason }, 'a doorbell was not rung');
}
