// What changes imports, with what follows each change: the doorbell, the queue, and the spooled file. The change is committed first;
// what cannot be announced or removed is found by the workers' reconciler.
import type { Logger } from '@millrace/process';
import type { JobDispatcher } from '@millrace/queue';
import type { UpdatePublisher } from '@millrace/redis';
import type { Dispatch } from '@millrace/shared';
import type { UploadStorage } from '@millrace/storage';
import { cancelImport, publicEvent, retryImport, type Database, type ImportActionOutcome, type LoggedEvent } from '@millrace/store';

export type ImportChange = { events: readonly LoggedEvent[]; dispatches: readonly Dispatch[] };

export type ImportActionsDeps = {
  database: Database;
  storage: Pick<UploadStorage, 'remove'>;
  updates: Pick<UpdatePublisher, 'publishEvents'>;
  dispatcher: Pick<JobDispatcher, 'dispatch'>;
  log: Logger;
};

export type ImportTarget = { importId: string; workspace: string };

export type ImportActions = {
  announce(change: ImportChange): void;
  cancel(target: ImportTarget & { by: string }): Promise<ImportActionOutcome>;
  retry(target: ImportTarget): Promise<ImportActionOutcome>;
};

export function createImportActions(deps: ImportActionsDeps): ImportActions {
  const bestEffort = (work: Promise<unknown>, what: string) => {
    work.catch((error: unknown) => {
      deps.log.debug({ err: error }, what);
    });
  };
  const announce = ({ events, dispatches }: ImportChange) => {
    const [first] = events;
    if (first !== undefined) {
      const json = JSON.stringify(events.map((event) => publicEvent(event)));
      bestEffort(deps.updates.publishEvents([{ workspace: first.workspace, subjectId: first.subjectId, json }]), 'a doorbell was not rung');
    }
    if (dispatches.length > 0)
      bestEffort(deps.dispatcher.dispatch('data-import', dispatches), 'a chunk was not dispatched, the reconciler will');
  };
  return {
    announce,
    cancel: async (target) => {
      const outcome = await cancelImport(deps.database, target);
      if (outcome.kind !== 'done') return outcome;
      announce({ events: outcome.events, dispatches: [] });
      if (outcome.import.content_ref !== null)
        bestEffort(deps.storage.remove(outcome.import.content_ref), 'the file of a cancelled import was not removed');
      return outcome;
    },
    retry: async (target) => {
      const outcome = await retryImport(deps.database, target);
      if (outcome.kind === 'done') announce({ events: outcome.events, dispatches: outcome.dispatches ?? [] });
      return outcome;
    },
  };
}
