// Keeps phases whose code no live worker holds out of the queue until one does.
import type { Logger } from '@millrace/process';
import { holdForCode, type ClaimedPhase, type Database } from '@millrace/store';
import type { EventPublisher } from './event-publisher.ts';

export type CodeHolderDeps = { database: Database; publisher: EventPublisher; workerId: string; log: Logger };

/** Answers whether the phase was held. */
export function createCodeHolder(deps: CodeHolderDeps): (phase: ClaimedPhase, reason: string) => Promise<boolean> {
  return async (phase, reason) => {
    const held = await holdForCode(deps.database, {
      id: phase.id,
      fence: phase.fence,
      worker: deps.workerId,
      definition: { name: phase.flow, version: phase.version },
      reason,
    });
    if (held === undefined) return false;
    deps.publisher.publish(held.events);
    deps.log.warn({ flowId: phase.flowId, flow: phase.flow, version: phase.version }, 'no live worker knows this flow, its phase waits');
    return true;
  };
}
