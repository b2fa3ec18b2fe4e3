// Keeps the hot window of the flow queue filled from the backlog in PostgreSQL, each workspace by its share, and puts jobs there that
// others hand over.
import { createLoop, createMicroBatcher, type Logger, type Loop, type PassResult } from '@millrace/process';
import type { JobDispatcher } from '@millrace/queue';
import type { Dispatch } from '@millrace/shared';
import { backlogLanes, readWeights, takeBacklog, type BacklogLane, type Database } from '@millrace/store';
import { backlogShares } from './backlog-shares.ts';

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
/** How old the known shares may be. */
const WEIGHTS_MS = 1_000;
const TAKE_MAX = 1_000;
const LANES_MAX = 64;
const BATCH = { batchMax: 500, inFlightMax: 2, pendingMax: 50_000 };
const QUEUE = 'flow-phase';

export function createFlowDispatcher(deps: DispatcherDeps): FlowDispatcher {
  // Of all who have another share than 1, not only of those with a backlog: what follows on finished phases is dispatched by it too.
  let weights: ReadonlyMap<string, number> = new Map();
  let weightsReadAt = Number.NEGATIVE_INFINITY;
  const refreshWeights = async () => {
    if (performance.now() - weightsReadAt < WEIGHTS_MS) return;
    weights = await readWeights(deps.database.hot);
    weightsReadAt = performance.now();
  };
  const batcher = createMicroBatcher<Dispatch, null>({
    ...BATCH,
    send: async (items) => {
      await deps.dispatcher.dispatch(QUEUE, items, weights);
      return items.map(() => null);
    },
  });
  // Where the next pass goes on among the workspaces, when there are more than one pass looks at.
  let after = '';
  const topUp = async (): Promise<PassResult> => {
    if (!deps.dispatcher.isReady()) return 'idle';
    await refreshWeights();
    const lanes = await backlogLanes(deps.database.hot, { after, limit: LANES_MAX });
    const isLast = lanes.length < LANES_MAX;
    const wasFirst = after === '';
    after = isLast ? '' : (lanes.at(-1)?.workspace ?? '');
    const open = lanes.filter((lane) => !lane.paused);
    const moved = open.length === 0 ? 'all' : await moveLanes(deps, open, weights);
    if (!isLast || !wasFirst) return 'again';
    return open.length === 0 ? 'idle' : moved === 'part' ? 'again' : { waitMs: BUSY_MS };
  };
  const loop = createLoop({ name: 'dispatcher', intervalMs: IDLE_MS, log: deps.log, onPass: deps.onPass, runOnce: topUp });
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

/** Moves what there is room for into the queue. `part`: a limit cut it short while there was more room. */
async function moveLanes(
  { database, dispatcher, windowMax }: DispatcherDeps,
  lanes: readonly BacklogLane[],
  weights: ReadonlyMap<string, number>,
): Promise<'all' | 'part'> {
  const names = lanes.map((lane) => lane.workspace);
  const [waiting, depths] = await Promise.all([dispatcher.waitingCount(QUEUE), dispatcher.depths(QUEUE, names)]);
  const room = windowMax - waiting;
  const shares = backlogShares(lanes, { room: Math.min(room, TAKE_MAX), windowMax, depths, isOverfull: waiting > 2 * windowMax });
  const asked = shares.reduce((sum, share) => sum + share.count, 0);
  const taken = asked === 0 ? [] : await takeBacklog(database.hot, shares);
  await dispatcher.dispatch(QUEUE, taken, weights);
  // Something may be left: who comes now must not overtake it.
  if (taken.length >= asked) await dispatcher.markBacklog(QUEUE);
  return taken.length > 0 && room > TAKE_MAX ? 'part' : 'all';
}
