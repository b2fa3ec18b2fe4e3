// Keeps the hot window of the flow queue filled from the backlog in PostgreSQL, and puts jobs there that others hand over.
import { createLoop, createMicroBatcher, type Logger, type Loop } from '@millrace/process';
import type { JobDispatcher } from '@millrace/queue';
import type { Dispatch } from '@millrace/shared';
import { takeBacklog, type Database } from '@millrace/store';

export type FlowDispatcher = Loop & {
  /** Puts jobs into the queue, combined with others. Never fails: what does not get there is found by the reconciler. */
  dispatch(dispatches: readonly Dispatch[]): void;
  drain(): Promise<void>;
};

export type DispatcherDeps = {
  database: Database;
  dispatcher: JobDispatcher;
  /** Jobs that may wait in Redis. */
  windowMax: number;
  log: Logger;
  onPass(pass: { loop: string; durationMs: number; failed: boolean }): void;
};

const IDLE_MS = 250;
/** While there is a backlog the window is topped up this often: it must not run empty between two passes. */
const BUSY_MS = 15;
const TAKE_MAX = 1_000;
const BATCH = { batchMax: 500, inFlightMax: 2, pendingMax: 50_000 };

export function createFlowDispatcher(deps: DispatcherDeps): FlowDispatcher {
  const batcher = createMicroBatcher<Dispatch, null>({
    ...BATCH,
    send: async (items) => {
      await deps.dispatcher.dispatch('flow-phase', items);
      return items.map(() => null);
    },
  });
  const loop = createLoop({ name: 'dispatcher', intervalMs: IDLE_MS, log: deps.log, onPass: deps.onPass, runOnce: () => topUp(deps) });
  return {
    ...loop,
    dispatch: (dispatches) => {
      for (const dispatch of dispatches) {
        batcher.add(dispatch).catch((error: unknown) => {
          deps.log.debug({ err: error, phaseId: dispatch.id }, 'a job was not dispatched, the reconciler will');
        });
      }
    },
    drain: () => batcher.drain(),
  };
}

async function topUp({ database, dispatcher, windowMax }: DispatcherDeps): Promise<'again' | 'idle' | { waitMs: number }> {
  if (!dispatcher.isReady()) return 'idle';
  const room = windowMax - (await dispatcher.waitingCount('flow-phase'));
  if (room <= 0) return { waitMs: BUSY_MS };
  const limit = Math.min(room, TAKE_MAX);
  const taken = await takeBacklog(database.hot, limit);
  await dispatcher.dispatch('flow-phase', taken);
  return taken.length === 0 ? 'idle' : taken.length === limit ? 'again' : { waitMs: BUSY_MS };
}
