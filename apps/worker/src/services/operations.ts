// Carries out operations: takes the one that has waited longest, does some of its steps, announces what they did, and gives it back. Any
// number of workers may run this; each operation is with one of them at a time, and a worker that dies loses it after its lease.
import { createLoop, type Logger, type Loop } from '@millrace/process';
import type { UpdatePublisher } from '@millrace/redis';
import {
  createInputIndexer,
  giveBackOperation,
  groupFailures,
  isTransient,
  pruneOperations,
  stepOperation,
  takeOperation,
  type Database,
  type StoredOperation,
} from '@millrace/store';
import type { EventPublisher } from '../engine/event-publisher.ts';
import { bulkStep } from '../operations/bulk-step.ts';
import { ended, type Step, type StepResult } from '../operations/operation-step.ts';
import { purgeStep } from '../operations/purge-step.ts';
import { replayStep } from '../operations/replay-step.ts';

export type OperationsDeps = {
  database: Database;
  publisher: EventPublisher;
  updates: Pick<UpdatePublisher, 'publishControl'>;
  workerId: string;
  log: Logger;
  onPass(pass: { loop: string; durationMs: number; failed: boolean }): void;
};

const INTERVAL_MS = 500;
const LEASE_MS = 10_000;
/** After this long others have their turn. */
const TURN_MS = 2_000;
/** Takings in a row that came to nothing, by deaths of workers or by errors. */
const FAILURES_MAX = 20;
const RETRY_MS = 1_000;
const UPKEEP_EVERY_MS = 5_000;
const UPKEEP_ROWS_MAX = 500;
const KEPT_DAYS = 30;

const STEPS: Readonly<Record<StoredOperation['kind'], Step>> = { replay: replayStep, purge: purgeStep, cancel: bulkStep, retry: bulkStep };

export function createOperations(deps: OperationsDeps): Loop {
  const inputs = createInputIndexer(deps.database);
  let keptUpAtMs = Number.NEGATIVE_INFINITY;
  return createLoop({
    name: 'operations',
    intervalMs: INTERVAL_MS,
    log: deps.log,
    onPass: deps.onPass,
    runOnce: async (signal) => {
      if (performance.now() - keptUpAtMs > UPKEEP_EVERY_MS) {
        keptUpAtMs = performance.now();
        await keepUp(deps);
        await inputs.runOnce();
      }
      const taken = await takeOperation(deps.database.main, { worker: deps.workerId, leaseMs: LEASE_MS });
      if (taken === undefined) return 'idle';
      await carryOn(deps, taken, signal);
      return 'again';
    },
  });
}

/** Groups what failed without an incident, and forgets what nobody will look at any more. */
async function keepUp({ database, log }: OperationsDeps): Promise<void> {
  const grouped = await groupFailures(database, UPKEEP_ROWS_MAX);
  if (grouped > 0) log.info({ count: grouped }, 'dead phases were given their incident');
  await pruneOperations(database.main, { days: KEPT_DAYS, limit: UPKEEP_ROWS_MAX });
}

async function carryOn(deps: OperationsDeps, taken: StoredOperation, signal: AbortSignal): Promise<void> {
  const held = { id: taken.id, fence: taken.fence, leaseMs: LEASE_MS };
  try {
    const waitMs = taken.failures > FAILURES_MAX ? await giveUp(deps, held) : await takeTurn(deps, taken, signal);
    if (waitMs !== null) await giveBackOperation(deps.database.main, held, { waitMs, failed: false });
  } catch (error) {
    deps.log.warn({ err: error, operationId: taken.id, failures: taken.failures }, 'a step of an operation failed');
    await giveBackOperation(deps.database.main, held, { waitMs: RETRY_MS, failed: true });
  }
}

/** Steps until the turn is over. Answers when the next one is due; null when there is none, or it is somebody else's. */
async function takeTurn(deps: OperationsDeps, taken: StoredOperation, signal: AbortSignal): Promise<number | null> {
  const endAt = performance.now() + TURN_MS;
  while (!signal.aborted && performance.now() < endAt) {
    const result = await stepOnce(deps, taken);
    if (result === undefined || result.next === 'ended') return null;
    if (result.next !== 'now') return result.next.waitMs;
  }
  return 0;
}

async function stepOnce(deps: OperationsDeps, taken: StoredOperation): Promise<StepResult | undefined> {
  const step = STEPS[taken.kind];
  const run = (apart: boolean) =>
    stepOperation(deps.database, { id: taken.id, fence: taken.fence, leaseMs: LEASE_MS }, (client, operation) =>
      step(client, operation, apart),
    );
  let result: StepResult | undefined;
  try {
    result = await run(false);
  } catch (error) {
    // What will work later is tried later, all of it. What never will must not keep the others from their turn.
    if (isTransient(error)) throw error;
    deps.log.warn({ err: error, operationId: taken.id }, 'a step of an operation failed, its flows are tried one by one');
    result = await run(true);
  }
  if (typeof result?.reason === 'string') deps.log.warn({ operationId: taken.id, reason: result.reason }, 'a flow could not be changed');
  if (result !== undefined) announce(deps, result);
  return result;
}

function announce({ publisher, updates, log }: OperationsDeps, { events, cancelled }: StepResult): void {
  publisher.publish(events);
  for (const flowId of cancelled) {
    updates.publishControl({ type: 'cancel', flowId }).catch((error: unknown) => {
      log.debug({ err: error }, 'a cancel could not be announced');
    });
  }
}

async function giveUp({ database, log }: OperationsDeps, held: { id: string; fence: string; leaseMs: number }): Promise<null> {
  log.error({ operationId: held.id }, 'an operation is given up: too many of its steps in a row came to nothing');
  await stepOperation(database, held, () =>
    Promise.resolve(ended({ end: 'failed', message: 'it could not be carried out: its steps failed again and again' })),
  );
  return null;
}
