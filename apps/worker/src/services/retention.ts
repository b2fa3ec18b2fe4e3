// Deletes ended flows that are to be kept no longer, by age and by number for each definition and workspace, archived where the definition says
// so. In batches with pauses between, so that nobody notices; a process that dies leaves whole batches, and the next pass goes on.
import { createLoop, type Logger, type Loop, type PassResult } from '@millrace/process';
import type { FlowRegistry } from '@millrace/sdk';
import { durationMs } from '@millrace/shared';
import {
  announceRetention,
  deleteExpired,
  expiryOf,
  pruneDedupeKeys,
  pruneIdempotencyKeys,
  readRetention,
  retentionLanes,
  type Database,
  type Lane,
  type Retention,
  type RetentionRule,
} from '@millrace/store';
import { setTimeout as delay } from 'node:timers/promises';

export type RetentionDeps = {
  database: Database;
  registry: Pick<FlowRegistry, 'get' | 'list'>;
  /** How long flows are kept whose definition says nothing; 0: for ever. */
  retentionDays: number;
  log: Logger;
  onDeleted(deleted: { count: number; archived: number }): void;
  onPass(pass: { loop: string; durationMs: number; failed: boolean }): void;
};

const INTERVAL_MS = 5 * 60_000;
const PAUSE_MS = 50;
const LANES_MAX = 100;
/** Of one pass; the next begins at once where this one was cut. */
const BATCHES_MAX = 200;
const KEYS_MAX = 5_000;
const DAY_MS = 24 * 60 * 60_000;

/** What the workers are configured for, as the rules have it: null is for ever. */
export function defaultAgeMs(retentionDays: number): number | null {
  return retentionDays === 0 ? null : retentionDays * DAY_MS;
}

export function createRetention(deps: RetentionDeps): Loop {
  // Where the next pass goes on. Another process may have done the same meanwhile, which is no harm.
  let position: Position = START;
  return createLoop({
    name: 'retention',
    intervalMs: INTERVAL_MS,
    log: deps.log,
    onPass: deps.onPass,
    runOnce: async (signal) => {
      if (position === START) {
        await announceRetention(deps.database.main, rulesOf(deps.registry));
        await pruneKeys(deps.database, signal);
      }
      position = await deleteFrom(deps, { position, signal });
      return nextPass(position);
    },
  });
}

/** After a lane; or in the midst of one, after a flow. */
type Position = { after: Lane | null; within: { lane: Lane; flowId: string } | null };
const START: Position = { after: null, within: null };

function nextPass(position: Position): PassResult {
  return position === START ? 'idle' : 'again';
}

/** The latest version of each definition says how long flows of all its versions are kept. */
function rulesOf(registry: RetentionDeps['registry']): RetentionRule[] {
  const latest = registry.list().filter((definition) => registry.get(definition.name) === definition);
  return latest.map(({ name, version, retention = {} }) => ({
    name,
    version,
    ageMs: retention.age === undefined ? null : durationMs(retention.age),
    count: retention.count ?? null,
    archive: retention.archive ?? false,
  }));
}

async function pruneKeys({ main }: Database, signal: AbortSignal): Promise<void> {
  for (const prune of [pruneIdempotencyKeys, pruneDedupeKeys]) {
    for (let batches = 0; batches < BATCHES_MAX && !signal.aborted; batches += 1) {
      if ((await prune(main, KEYS_MAX)) < KEYS_MAX) break;
      await delay(PAUSE_MS);
    }
  }
}

/** Deletes until it is through (START), was stopped, or has done its share. */
async function deleteFrom(deps: RetentionDeps, { position, signal }: { position: Position; signal: AbortSignal }): Promise<Position> {
  const { database } = deps;
  const retention = await readRetention(database.main, defaultAgeMs(deps.retentionDays));
  const budget = { batches: BATCHES_MAX };
  const { within } = position;
  if (within !== null) {
    const flowId = await deleteLane(deps, { ...within, retention, budget, signal });
    return flowId === null ? { after: within.lane, within: null } : { after: position.after, within: { lane: within.lane, flowId } };
  }
  const lanes = await retentionLanes(database.main, { after: position.after, limit: LANES_MAX });
  let after = position.after;
  for (const lane of lanes) {
    if (signal.aborted) return { after, within: null };
    const flowId = await deleteLane(deps, { lane, flowId: null, retention, budget, signal });
    if (flowId !== null) return { after, within: { lane, flowId } };
    after = lane;
  }
  return lanes.length < LANES_MAX ? START : { after, within: null };
}

type LaneWork = { lane: Lane; flowId: string | null; retention: Retention; budget: { batches: number }; signal: AbortSignal };

/** Answers the flow after which to go on; null when the lane is done. */
async function deleteLane(deps: RetentionDeps, { lane, flowId, retention, budget, signal }: LaneWork): Promise<string | null> {
  const expiry = await expiryOf(deps.database.main, { lane, retention, now: new Date() });
  if (expiry === undefined) return null;
  let last = flowId;
  do {
    const batch = await deleteExpired(deps.database, expiry, last);
    if (batch.deleted > 0) {
      deps.onDeleted({ count: batch.deleted, archived: batch.archived });
      deps.log.info({ ...lane, deleted: batch.deleted, archived: batch.archived }, 'deleted flows that are kept no longer');
    }
    last = batch.last;
    budget.batches -= 1;
    if (last !== null) await delay(PAUSE_MS);
  } while (last !== null && budget.batches > 0 && !signal.aborted);
  return last;
}
