// A queue as one workspace sees it: counts, rates and pauses.
import type { QueueAnswer, QueueName } from '@millrace/shared';
import {
  countFlowQueue,
  countImportQueue,
  EVERYBODY,
  listQueuePauses,
  QUEUE_COUNT_MAX,
  RATE_MINUTES,
  readImportRate,
  readQueueRate,
  type Database,
  type QueuePause,
} from '@millrace/store';
import type { Clock } from '@millrace/process';

export type QueueReader = (queue: QueueName, workspace: string) => Promise<QueueAnswer>;

export function createQueueReader({ database, clock }: { database: Pick<Database, 'main'>; clock: Clock }): QueueReader {
  const on = database.main;
  const read = {
    'flow-phase': (workspace: string) =>
      Promise.all([countFlowQueue(on, workspace), readQueueRate(on, { queue: 'flow-phase', workspace })]),
    'data-import': (workspace: string) => Promise.all([countImportQueue(on, workspace), readImportRate(on, workspace, RATE_MINUTES)]),
  };
  return async (queue, workspace) => {
    const [[{ counts, oldestAt }, rate], pauses] = await Promise.all([read[queue](workspace), listQueuePauses(on, workspace)]);
    const own = pauses.filter((pause) => pause.queue === queue);
    return {
      name: queue,
      counts,
      countedUpTo: QUEUE_COUNT_MAX,
      oldestWaitingSeconds: oldestAt === null ? null : Math.max(0, rounded((clock.nowMs() - oldestAt.getTime()) / 1_000)),
      perMinute: { completed: rounded(rate.completed), failed: rounded(rate.failed) },
      paused: own.length > 0,
      pauses: own.map((pause) => pauseAnswer(pause)),
    };
  };
}

function pauseAnswer({ workspace, by, reason, at, until }: QueuePause): QueueAnswer['pauses'][number] {
  return {
    scope: workspace === EVERYBODY ? 'everybody' : 'workspace',
    by,
    reason,
    at: at.toISOString(),
    until: until?.toISOString() ?? null,
  };
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}
