// Tells everybody that this worker is alive: what it can run, how busy it is, and what ended in it since the last time. With its announcement
// it also takes back what was counted against its phases when it was taken for dead. Its row goes with it; a worker that dies falls silent instead.
import { createLoop, type Logger, type Loop } from '@millrace/process';
import type { QueueName } from '@millrace/shared';
import {
  addQueueMinutes,
  announceWorker,
  forgiveLosses,
  removeWorker,
  type Database,
  type HeldDefinition,
  type QueueMinute,
} from '@millrace/store';

export type Announcer = Loop & {
  /** From now on it announces that it takes nothing new, first of all at once. Never fails. */
  announceStopping(): Promise<void>;
  /** Counts an attempt that ended and was committed. */
  attemptEnded(end: { workspace: string; completed: boolean }): void;
};

export type AnnouncerDeps = {
  database: Database;
  worker: {
    id: string;
    host: string;
    pid: number;
    startedAt: Date;
    concurrency: number;
    queues: readonly QueueName[];
    definitions: readonly HeldDefinition[];
  };
  /** Phases it runs now. */
  runningCount(): number;
  now(): Date;
  log: Logger;
  onPass(pass: { loop: string; durationMs: number; failed: boolean }): void;
};

/** A third of the time after which a silent worker counts as dead. */
const INTERVAL_MS = 5_000;
/** Workspaces and minutes that are kept while PostgreSQL is away; what comes on top is not counted. */
const MINUTES_MAX = 10_000;

export function createAnnouncer(deps: AnnouncerDeps): Announcer {
  const minutes = createMinuteCounter(deps.now);
  let stopping = false;
  const announce = () => announceWorker(deps.database.main, { ...deps.worker, running: deps.runningCount(), stopping });
  const loop = createLoop({
    name: 'announcer',
    intervalMs: INTERVAL_MS,
    log: deps.log,
    onPass: deps.onPass,
    runOnce: async () => {
      await announce();
      await forgive(deps);
      await report(deps, minutes);
      return 'idle';
    },
  });
  return {
    ...loop,
    announceStopping: async () => {
      stopping = true;
      await announce().catch((error: unknown) => {
        deps.log.debug({ err: error }, 'it could not be announced that this worker stops');
      });
    },
    attemptEnded: minutes.add,
    stop: async (deadlineMs) => {
      await loop.stop(deadlineMs);
      try {
        await report(deps, minutes);
        await removeWorker(deps.database.main, deps.worker.id);
      } catch (error) {
        // Its row tells by its age that it is gone.
        deps.log.debug({ err: error }, 'this worker could not take back its announcement');
      }
    },
  };
}

async function forgive({ database, worker, log }: AnnouncerDeps): Promise<void> {
  const count = await forgiveLosses(database.hot, worker.id);
  if (count > 0) log.warn({ count }, 'leases of this worker ran out while it was alive, they count as interruptions');
}

async function report(deps: AnnouncerDeps, minutes: MinuteCounter): Promise<void> {
  const taken = minutes.take();
  try {
    await addQueueMinutes(deps.database.main, taken);
  } catch (error) {
    minutes.putBack(taken);
    throw error;
  }
}

type MinuteCounter = {
  add(end: { workspace: string; completed: boolean }): void;
  /** What was counted since the last time. */
  take(): QueueMinute[];
  putBack(taken: readonly QueueMinute[]): void;
};

function createMinuteCounter(now: () => Date): MinuteCounter {
  let counts = new Map<string, QueueMinute>();
  const countOf = (workspace: string, minute: Date) => {
    const key = `${minute.getTime()} ${workspace}`;
    const known = counts.get(key);
    if (known !== undefined || counts.size >= MINUTES_MAX) return known;
    const made: QueueMinute = { queue: 'flow-phase', workspace, minute, completed: 0, failed: 0 };
    counts.set(key, made);
    return made;
  };
  return {
    add: ({ workspace, completed }) => {
      const at = now();
      const count = countOf(workspace, new Date(at.getTime() - (at.getTime() % 60_000)));
      if (count !== undefined) count[completed ? 'completed' : 'failed'] += 1;
    },
    take: () => {
      const taken = [...counts.values()];
      counts = new Map();
      return taken;
    },
    putBack: (taken) => {
      for (const { workspace, minute, completed, failed } of taken) {
        const count = countOf(workspace, minute);
        if (count === undefined) continue;
        count.completed += completed;
        count.failed += failed;
      }
    },
  };
}
