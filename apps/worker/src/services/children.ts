// Tells parents that their child flows have ended, and cancels children whose parent has ended without them. Woken by the engine when a
// child ends here; level-triggered, so that what other processes or a crash left is found as well.
import { createLoop, type Logger, type Loop } from '@millrace/process';
import type { Dispatch } from '@millrace/shared';
import { cancelFlow, orphans, settleChildren, type Database } from '@millrace/store';
import type { EventPublisher } from '../engine/event-publisher.ts';

export type ChildrenDeps = {
  database: Database;
  publisher: EventPublisher;
  dispatch(dispatches: readonly Dispatch[]): void;
  /** Tells the workers that a flow was cancelled. */
  announceCancel(flowId: string): Promise<void>;
  log: Logger;
  onPass(pass: { loop: string; durationMs: number; failed: boolean }): void;
};

const INTERVAL_MS = 1_000;
const CHILDREN_MAX = 1_000;
const ORPHANS_MAX = 100;
const BY_PARENT = 'parent';

export function createChildrenLoop(deps: ChildrenDeps): Loop {
  return createLoop({
    name: 'children',
    intervalMs: INTERVAL_MS,
    log: deps.log,
    onPass: deps.onPass,
    runOnce: async () => {
      const settled = await settleChildren(deps.database, CHILDREN_MAX);
      deps.publisher.publish(settled.events);
      deps.dispatch(settled.dispatches);
      const left = await orphans(deps.database.main, ORPHANS_MAX);
      for (const child of left) await cancelOrphan(deps, child);
      return settled.count > 0 || left.length === ORPHANS_MAX ? 'again' : 'idle';
    },
  });
}

async function cancelOrphan(
  { database, publisher, announceCancel, log }: ChildrenDeps,
  child: { flowId: string; workspace: string },
): Promise<void> {
  const outcome = await cancelFlow(database, { ...child, by: BY_PARENT });
  if (outcome.kind !== 'done') return;
  publisher.publish(outcome.events);
  await announceCancel(child.flowId).catch((error: unknown) => {
    log.debug({ err: error, flowId: child.flowId }, 'the workers find the end of this flow when they renew its lease');
  });
}
