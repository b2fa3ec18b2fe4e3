// Sends what became ready to the flow-phase queue, many jobs at a time, and knows whether the queue has room. Nothing waits for
// it and nothing is lost with it: the workers' reconciler finds in PostgreSQL what never arrived.
import type { Dispatch } from '@millrace/shared';
import { createLoop, createMicroBatcher, type Logger, type Service } from '@millrace/process';
import type { JobDispatcher } from '@millrace/queue';
import type { ControlMessage } from '@millrace/redis';
import type { FlowDispatch } from '../flows/flow-intake.ts';
import { createQueueRoom } from './queue-room.ts';
import { createWorkerBell } from './worker-bell.ts';

export type FlowDispatchService = FlowDispatch &
  Service & {
    /** Reads the shares of the workspaces anew, which otherwise happens every second. */
    refreshWeights(): Promise<void>;
    failureCount(): number;
  };

export type FlowDispatchOptions = {
  /** Tells the workers something. */
  publish(message: ControlMessage): Promise<void>;
  /** The shares of the workspaces that have another than 1. */
  readWeights(): Promise<ReadonlyMap<string, number>>;
  dispatcher: Pick<JobDispatcher, 'dispatch' | 'waitingCount' | 'hasBacklog' | 'isReady'>;
  /** Jobs that may wait in Redis; beyond it ready phases stay in PostgreSQL. */
  windowMax: number;
  log: Logger;
};

const QUEUE = 'flow-phase';
const BULK_MAX = 500;
const IN_FLIGHT_MAX = 4;
const PENDING_MAX = 50_000;
/** How old the known count may be while jobs are being sent, and otherwise. */
const BUSY_REFRESH_MS = 100;
const IDLE_REFRESH_MS = 1_000;
const FAILURE_LOG_EVERY_MS = 10_000;

export function createFlowDispatch({ dispatcher, windowMax, publish, readWeights, log }: FlowDispatchOptions): FlowDispatchService {
  let weights: ReadonlyMap<string, number> = new Map();
  const bell = createWorkerBell({ publish, log });
  /** Settles when everything sent so far has arrived or failed. */
  let sent = Promise.resolve();
  const room = createQueueRoom({ dispatcher, queue: QUEUE, windowMax });
  const refreshWeights = async () => {
    weights = await readWeights();
  };
  const { failed, failureCount } = countFailures(log);
  const batcher = createMicroBatcher<Dispatch, void>({
    batchMax: BULK_MAX,
    inFlightMax: IN_FLIGHT_MAX,
    pendingMax: PENDING_MAX,
    send: async (dispatches) => {
      await dispatcher.dispatch(QUEUE, dispatches, weights);
      room.refresh(BUSY_REFRESH_MS).catch((error: unknown) => {
        failed(error, 0);
      });
      return dispatches.map(() => undefined);
    },
  });
  const loop = createLoop({
    name: 'dispatch-room',
    intervalMs: IDLE_REFRESH_MS,
    log,
    runOnce: async () => {
      await room.refresh(IDLE_REFRESH_MS / 2);
      await refreshWeights();
      return 'idle';
    },
  });

  return {
    name: 'flow dispatch',
    start: () => loop.start(),
    stop: async (deadlineMs) => {
      await loop.stop(deadlineMs);
      await batcher.drain();
    },
    send: (dispatches) => {
      room.add(dispatches.length);
      for (const dispatch of dispatches) {
        sent = batcher.add(dispatch).catch((error: unknown) => {
          failed(error, 1);
        });
      }
    },
    room: room.room,
    // Who is told of a backlog fills the queue: by then, what was sent before has to be in it.
    ring: (what) => {
      if (what === 'admissions') bell.ring(what);
      else
        void sent.then(() => {
          bell.ring(what);
        });
    },
    refreshWeights,
    failureCount,
  };
}

function countFailures(log: Logger) {
  let failures = 0;
  let loggedAt = Number.NEGATIVE_INFINITY;
  return {
    failureCount: () => failures,
    failed: (error: unknown, jobCount: number) => {
      failures += jobCount;
      if (performance.now() - loggedAt < FAILURE_LOG_EVERY_MS) return;
      loggedAt = performance.now();
      log.warn({ err: error, failures }, 'jobs could not be dispatched; they wait in PostgreSQL');
    },
  };
}
