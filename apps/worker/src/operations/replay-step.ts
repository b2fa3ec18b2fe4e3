// A step of a replay: new runs for the flows of the next few dead phases. With a canary, what became of earlier runs is looked at first.
import {
  actOnFlows,
  deadOfFlows,
  judgeRuns,
  nextDeadPhases,
  positionOf,
  sampleFlows,
  watchRuns,
  type CanaryState,
  type OperationChange,
  type PoolClient,
  type StoredOperation,
} from '@millrace/store';
import { CANARY_RUNS, canaryVerdict, nextStepSize } from './canary.ts';
import { selectionOf } from './dead-selection-of.ts';
import { countsOf, ended, paceOf, STEP_FLOWS_MAX, waiting, type Step } from './operation-step.ts';

/** How often runs are looked at that have not been judged. */
const WATCH_MS = 500;
/** When nothing is left to replay, the last runs are waited for this long, for the sake of the figures. */
const LAST_LOOK_MS = 300_000;

export const replayStep: Step = (client, operation, apart) => {
  if (operation.canary === null) return replayNext(client, operation, { apart, canary: null, max: STEP_FLOWS_MAX });
  return replayWatched(client, operation, { apart, before: operation.canary });
};

async function replayWatched(client: PoolClient, operation: StoredOperation, { apart, before }: { apart: boolean; before: CanaryState }) {
  const { open, ...judged } = await judgeRuns(client, operation.id);
  const canary = { ...before };
  for (const verdict of ['recovered', 'returned', 'otherwise', 'unjudged'] as const) canary[verdict] += judged[verdict];
  const stop = canaryVerdict(canary);
  if (stop !== null) return ended({ canary, end: 'stopped', message: stop });
  if (canary.stepLeft === 0) {
    if (open > 0) return waiting({ canary }, WATCH_MS);
    canary.step = nextStepSize(canary.released);
    canary.stepLeft = canary.step;
  }
  canary.sample ??= await sampleFlows(client, selectionOf(operation).selection, CANARY_RUNS);
  return replayNext(client, operation, { apart, canary: { state: canary, open }, max: Math.min(STEP_FLOWS_MAX, canary.stepLeft) });
}

type Batch = { flowIds: string[]; cursor: OperationChange['cursor']; sampleLeft: string[] };

async function replayNext(
  client: PoolClient,
  operation: StoredOperation,
  { apart, canary, max }: { apart: boolean; canary: { state: CanaryState; open: number } | null; max: number },
): ReturnType<Step> {
  const kept = canary === null ? {} : { canary: canary.state };
  const pace = paceOf(operation, max);
  if (pace.count === 0) return waiting(kept, pace.waitMs);
  const batch = await nextBatch(client, operation, { sample: canary?.state.sample ?? [], count: pace.count });
  if (batch.flowIds.length === 0) return lastLook(operation, canary);
  // Before they start over: which phases were dead, and of what.
  const dead = canary === null ? [] : await deadOfFlows(client, batch.flowIds);
  const outcome = await actOnFlows(client, {
    action: 'retry',
    workspace: operation.workspace,
    by: operation.created_by,
    flowIds: batch.flowIds,
    apart,
  });
  const change: OperationChange = {
    ...countsOf(outcome),
    pacedAtMs: pace.after(batch.flowIds.length),
    ...(batch.cursor === undefined ? {} : { cursor: batch.cursor }),
  };
  if (canary !== null) {
    const { state } = canary;
    const opened = outcome.changed.length;
    await watchRuns(
      client,
      operation.id,
      dead.filter((flow) => outcome.changed.includes(flow.flowId)),
    );
    change.canary = { ...state, sample: batch.sampleLeft, released: state.released + opened, stepLeft: state.stepLeft - opened };
  }
  return { change, result: { events: outcome.events, cancelled: [], reason: outcome.reason, next: 'now' } };
}

// Flows drawn at random first, then the selection in its order; those that were drawn are not dead of what they were dead of any more.
async function nextBatch(
  client: PoolClient,
  operation: StoredOperation,
  { sample, count }: { sample: readonly string[]; count: number },
): Promise<Batch> {
  if (sample.length > 0) return { flowIds: sample.slice(0, count), cursor: undefined, sampleLeft: sample.slice(count) };
  const { selection, after } = selectionOf(operation);
  const phases = await nextDeadPhases(client, selection, { after, limit: count });
  const last = phases.at(-1);
  return {
    flowIds: [...new Set(phases.map((phase) => phase.flow_id))],
    cursor: last === undefined ? undefined : positionOf(last),
    sampleLeft: [],
  };
}

function lastLook(operation: StoredOperation, canary: { state: CanaryState; open: number } | null): ReturnType<Step> {
  if (canary === null) return Promise.resolve(ended({}));
  const { state, open } = canary;
  if (open > 0 && operation.now_ms - operation.paced_at_ms < LAST_LOOK_MS)
    return Promise.resolve(waiting({ canary: { ...state, sample: [] } }, WATCH_MS));
  return Promise.resolve(
    ended({ canary: { ...state, sample: [] }, ...(open === 0 ? {} : { message: `${open} runs had not been judged yet` }) }),
  );
}
