// Ends flows that expired before they started or that take longer than they may, and tells the workers that run phases of them.
import type { Logger } from '@millrace/process';
import type { UpdatePublisher } from '@millrace/redis';
import { endOverdueFlow, overdueFlows, type Database } from '@millrace/store';
import type { EventPublisher } from '../engine/event-publisher.ts';

export type OverdueFlowsDeps = {
  database: Database;
  publisher: EventPublisher;
  updates: Pick<UpdatePublisher, 'publishControl'>;
  log: Logger;
};

/** One bounded pass. Answers how many flows were looked at. One by one: each end is a transaction of its own. */
export async function endOverdueFlows({ database, publisher, updates, log }: OverdueFlowsDeps, limit: number): Promise<number> {
  const overdue = await overdueFlows(database.main, limit);
  for (const flowId of overdue) {
    const { ended, running, events } = await endOverdueFlow(database, flowId);
    publisher.publish(events);
    if (!ended) continue;
    log.info({ flowId, running }, 'a flow has failed because its time is over');
    if (running === 0) continue;
    // A worker that is not told finds out when it renews its lease.
    await updates.publishControl({ type: 'cancel', flowId }).catch((error: unknown) => {
      log.debug({ err: error, flowId }, 'workers could not be told to stop a flow');
    });
  }
  return overdue.length;
}
