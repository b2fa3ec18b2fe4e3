// Fires schedules when their times come, starts fires that waited for flows to end, and reports what was missed. Level-triggered: what is due is
// in PostgreSQL, any number of processes may run this, and each time is fired by exactly one of them.
import { createLoop, type Logger, type Loop, type PassResult } from '@millrace/process';
import type { UpdatePublisher } from '@millrace/redis';
import type { FireOutcome } from '@millrace/shared';
import {
  cancelFlow,
  fireDue,
  flowsToReplace,
  forgetFires,
  readScheduleWork,
  startQueued,
  type Database,
  type FireOptions,
  type ReportedFire,
} from '@millrace/store';
import type { EventPublisher } from '../engine/event-publisher.ts';

export type SchedulesDeps = FireOptions & {
  database: Database;
  publisher: Pick<EventPublisher, 'publish'>;
  updates: Pick<UpdatePublisher, 'publishControl'>;
  /** There is new work in the backlog. */
  wakeDispatcher(): void;
  log: Logger;
  onFire(fire: { outcome: FireOutcome; count: number }): void;
  onPass(pass: { loop: string; durationMs: number; failed: boolean }): void;
};

/** How long a flow that ended, or a schedule that was just made, may go unnoticed. Times that are known are waited for to the millisecond. */
const INTERVAL_MS = 1_000;
const CANCELS_MAX = 100;
const KEEP_FIRES_DAYS = 90;
const FORGET_EVERY_MS = 10 * 60_000;
const FORGET_MAX = 1_000;

export function createSchedules(deps: SchedulesDeps): Loop {
  let forgottenAtMs = Number.NEGATIVE_INFINITY;
  return createLoop({
    name: 'schedules',
    intervalMs: INTERVAL_MS,
    log: deps.log,
    onPass: deps.onPass,
    runOnce: async () => {
      if (performance.now() - forgottenAtMs > FORGET_EVERY_MS) {
        const count = await forgetFires(deps.database.main, { days: KEEP_FIRES_DAYS, limit: FORGET_MAX });
        if (count < FORGET_MAX) forgottenAtMs = performance.now();
      }
      return fireAll(deps);
    },
  });
}

async function fireAll(deps: SchedulesDeps): Promise<PassResult> {
  const { database } = deps;
  const work = await readScheduleWork(database.main);
  const due = work.due ? await fireDue(database, deps) : NOTHING;
  report(deps, due.fires);
  if (!work.queued && !due.fires.some(({ outcome }) => outcome === 'queued')) return due.more ? 'again' : nextPass(work.nextInMs);
  const replaced = await cancelReplaced(deps);
  const waited = await startQueued(database, deps);
  report(deps, waited.fires);
  return due.more || waited.more || replaced === CANCELS_MAX ? 'again' : nextPass(work.nextInMs);
}

const NOTHING = { fires: [], more: false } as const;

function nextPass(nextInMs: number | null): PassResult {
  return nextInMs === null ? 'idle' : { waitMs: Math.min(INTERVAL_MS, Math.ceil(nextInMs) + 1) };
}

// Like a cancel that somebody asks for. Another process may have done it, or the flow has ended: then there is nothing to announce.
async function cancelReplaced({ database, publisher, updates, log }: SchedulesDeps): Promise<number> {
  const flows = await flowsToReplace(database.main, CANCELS_MAX);
  for (const { flowId, workspace, scheduleId } of flows) {
    const outcome = await cancelFlow(database, { flowId, workspace, by: `schedule:${scheduleId}` });
    if (outcome.kind !== 'done') continue;
    publisher.publish(outcome.events);
    updates.publishControl({ type: 'cancel', flowId }).catch((error: unknown) => {
      log.debug({ err: error, flowId }, 'a cancel could not be announced');
    });
  }
  return flows.length;
}

function report({ log, onFire, wakeDispatcher }: SchedulesDeps, fires: readonly ReportedFire[]): void {
  for (const fire of fires) {
    onFire(fire);
    if (fire.outcome === 'missed') log.warn(fire, 'times of a schedule were missed');
    else if (fire.outcome === 'failed') log.warn(fire, 'a schedule could not start its flow');
    else log.debug(fire, 'a schedule came due');
  }
  if (fires.some(({ outcome }) => outcome === 'started')) wakeDispatcher();
}
