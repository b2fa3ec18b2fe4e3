// ctx.start: child flows of a phase, started once each, many in one transaction, and their results once they have ended.
import { createMicroBatcher } from '@millrace/process';
import type { Dispatch } from '@millrace/shared';
import { ChildFlowFailed, PermanentError, type ChildFlow, type FlowPlanner, type StartOptions } from '@millrace/sdk';
import {
  asAppError,
  CHILD_DEPTH_MAX,
  readChildOutputs,
  readChildren,
  startChildren,
  type Child,
  type ClaimedPhase,
  type Database,
  type NewChild,
} from '@millrace/store';
import { planChild } from './plan-child.ts';
import type { PhaseSteps } from './phase-steps.ts';
import type { Suspension } from './suspension.ts';

export type PhaseChildren = { start(flow: string, input: unknown, options?: StartOptions): Promise<ChildFlow> };

type ChildrenDeps = {
  database: Database;
  phase: ClaimedPhase;
  planner: FlowPlanner;
  suspension: Suspension;
  steps: PhaseSteps;
  dispatch(dispatches: readonly Dispatch[]): void;
  /** Called when the fence refused it: the lease is lost. */
  onFenced(): void;
};

const KEY_CHARS_MAX = 200;
/** Children of one phase; the same as the phases of one flow. */
const CHILDREN_MAX = 20_000;
const BATCH = { batchMax: 500, inFlightMax: 1, pendingMax: CHILDREN_MAX };

export function createPhaseChildren(deps: ChildrenDeps): PhaseChildren {
  const { database, phase, suspension } = deps;
  const calls = new Map<string, number>();
  const told = new Set<string>();
  let known: Promise<Map<string, Child>> | undefined;
  const starts = createMicroBatcher<NewChild, Child>({ ...BATCH, send: (children) => startAll(deps, children) });
  const outputs = createMicroBatcher<string, Record<string, unknown>>({ ...BATCH, send: (ids) => readOutputs(database, ids) });
  const startOnce = async (key: string, child: () => NewChild): Promise<Child> => {
    known ??= readKnown(database, phase);
    const children = await known;
    const there = children.get(key);
    if (there !== undefined) return there;
    if (children.size >= CHILDREN_MAX) throw new PermanentError(`a phase starts ${CHILDREN_MAX} child flows at most`);
    const started = await starts.add(child());
    children.set(key, started);
    return started;
  };
  return {
    start: async (flow, input, options = {}) => {
      if (options.wait !== false) deps.steps.requireOutside('ctx.start');
      const count = (calls.get(flow) ?? 0) + 1;
      calls.set(flow, count);
      const key = checkedKey(options.key ?? `${flow}#${count}`);
      const child = await suspension.track(() => startOnce(key, () => planChild(deps, { flow, input, key, options })));
      if (child.name !== flow) throw new PermanentError(`the key "${key}" of a child flow was used for another flow before: ${child.name}`);
      if (!child.awaited) return { id: child.id, status: 'started', outputs: {} };
      const { status, policy, error } = child;
      if (status !== 'completed' && status !== 'failed' && status !== 'cancelled') return suspension.wait({ children: true });
      if (status !== 'completed' && policy === 'fail') {
        if (!told.has(child.id)) suspension.sawFailure();
        told.add(child.id);
        throw new ChildFlowFailed(flow, child.id, status);
      }
      const result: ChildFlow = { id: child.id, status, outputs: await suspension.track(() => outputs.add(child.id)) };
      if (policy === 'ignore') return { ...result, status: 'completed' };
      return error === null ? result : { ...result, error };
    },
  };
}

function checkedKey(key: string): string {
  if (key !== '' && key.length <= KEY_CHARS_MAX && !key.includes('\0') && key.isWellFormed()) return key;
  throw new PermanentError(`the key of a child flow must have 1 to ${KEY_CHARS_MAX} characters, none of them NUL`);
}

async function readKnown(database: Database, { id, run }: ClaimedPhase): Promise<Map<string, Child>> {
  try {
    return new Map((await readChildren(database.main, { phaseId: id, run })).map((child) => [child.key, child]));
  } catch (error) {
    throw asAppError(error);
  }
}

async function readOutputs(database: Database, ids: readonly string[]): Promise<Record<string, unknown>[]> {
  const found = await readChildOutputs(database.main, ids).catch((error: unknown) => {
    throw asAppError(error);
  });
  if (found === 'too-large')
    throw new PermanentError('the results of the child flows are too large together: hand on references instead of contents');
  return ids.map((id) => found.get(id) ?? {});
}

async function startAll({ database, phase, dispatch, onFenced }: ChildrenDeps, children: readonly NewChild[]): Promise<Child[]> {
  const started = await startChildren(database, { phaseId: phase.id, run: phase.run, fence: phase.fence }, children);
  if (started.kind === 'too-deep') throw new PermanentError(`child flows may start further ones ${CHILD_DEPTH_MAX} levels deep at most`);
  if (started.kind === 'fenced') {
    onFenced();
    throw new Error('child flows were not started: this worker does not hold the phase any more');
  }
  dispatch(started.dispatches);
  const all = new Map(started.children.map((child) => [child.key, child]));
  return children.map(({ key }) => {
    const child = all.get(key);
    if (child === undefined) throw new Error(`child flow ${key} was not started`);
    return child;
  });
}
