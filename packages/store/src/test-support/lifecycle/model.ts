// A second, much simpler engine: flows and phases as plain objects in memory, changed as the tables of transitions and the documents say.
// This file holds what it knows and what all of its changes share. The changes are in model-work.ts and model-flows.ts.
import { FLOW_TRANSITIONS, isTerminalFlow, mayChange, PHASE_TRANSITIONS, type FlowStatus, type PhaseStatus } from '@millrace/shared';

/** Whether something has a time at which it is looked at, and whether that has come. */
export type Due = 'none' | 'later' | 'past';
export type Awaited = { kind: 'time' | 'signal' | 'children' | 'callback'; names: string[]; children: boolean };
export type PhaseShape = { needs: number[]; signal: string | null; timed: boolean; attemptMax: number; rate: string | null };
export type FlowShape = {
  phases: PhaseShape[];
  key: string | null;
  limit: number;
  later: boolean;
  expires: boolean;
  timeout: boolean;
  dispatch: boolean;
};
export type Parent = { flow: number; phase: number; run: number; policy: 'fail' | 'continue' };

export type ModelPhase = PhaseShape & {
  name: string;
  ordinal: number;
  dependants: number[];
  status: PhaseStatus;
  needsOpen: number;
  attempts: number;
  held: 'pause' | 'limit' | 'rate' | null;
  due: Due;
  output: unknown;
  /** Skipped by its own condition, not because another one failed. */
  skippedItself: boolean;
  awaits: Awaited | null;
  /** Deliveries that were handed out, and the one that counts. */
  jobCount: number;
  job: number | null;
  /** Claims that workers were given, and the one that may still commit. */
  claimCount: number;
  holder: number | null;
  /** Attempts that a service has ended, as `run attempt`. */
  answered: Set<string>;
};

export type ModelFlow = Omit<FlowShape, 'phases' | 'dispatch'> & {
  at: number;
  phases: ModelPhase[];
  status: FlowStatus;
  run: number;
  failed: number;
  admitted: boolean;
  started: boolean;
  /** Two days have passed for it, before and after it started: longer than it may take. */
  expiryPast: boolean;
  startPast: boolean;
  due: Due;
  pause: { from: FlowStatus; due: Due } | null;
  parent: Parent | null;
  settled: boolean;
  signals: { name: string; run: number; delivered: boolean }[];
  events: string[];
};

export type Model = { flows: ModelFlow[]; queuePaused: boolean; tokens: Map<string, number> };

export const TOKENS_MAX = 2;
export const ACTIVE: readonly PhaseStatus[] = ['queued', 'running', 'retrying'];
export const ENDED: readonly PhaseStatus[] = ['completed', 'failed', 'skipped', 'cancelled', 'quarantined'];

export function createModel(): Model {
  return { flows: [], queuePaused: false, tokens: new Map() };
}

export const activeOf = (flow: ModelFlow): number => flow.phases.filter(({ status }) => ACTIVE.includes(status)).length;
export const openOf = (flow: ModelFlow): number => flow.phases.filter(({ status }) => !ENDED.includes(status)).length;
/** It came to a good end: what needs it may run, and a retry leaves it as it is. */
export const isDone = (phase: ModelPhase): boolean => phase.status === 'completed' || (phase.status === 'skipped' && phase.skippedItself);
export const isOpen = (flow: ModelFlow): boolean => !isTerminalFlow(flow.status);

/** @throws Error when the table has no such arrow: then the model itself is wrong. */
export function setPhase(phase: ModelPhase, status: PhaseStatus): void {
  if (status !== phase.status && !mayChange(PHASE_TRANSITIONS, phase.status, status))
    throw new Error(`the model moved a phase from ${phase.status} to ${status}`);
  phase.status = status;
}

/** @throws Error as setPhase does. */
export function setFlow(flow: ModelFlow, status: FlowStatus): void {
  if (status !== flow.status && !mayChange(FLOW_TRANSITIONS, flow.status, status))
    throw new Error(`the model moved a flow from ${flow.status} to ${status}`);
  flow.status = status;
}

export function tell(flow: ModelFlow, type: string, phase?: ModelPhase): void {
  flow.events.push(phase === undefined ? type : `${type} ${phase.name}`);
}

/** A new delivery counts from now on. */
export function handOut(phase: ModelPhase): void {
  phase.job = phase.jobCount;
  phase.jobCount += 1;
  phase.due = 'later';
}

/** Queues a phase that ran or waited: at once, unless a pause keeps it. Limits and rates have let it through before. */
export function requeue(model: Model, flow: ModelFlow, phase: ModelPhase): void {
  setPhase(phase, 'queued');
  Object.assign(phase, { holder: null, awaits: null, job: null, due: 'none', held: flow.status === 'paused' ? 'pause' : null });
  if (flow.status !== 'paused' && !model.queuePaused) handOut(phase);
  tell(flow, 'phase.queued', phase);
}

/** What keeps a ready phase of this flow from being dispatched. */
export function holdOf(flow: ModelFlow, phase: ModelPhase): ModelPhase['held'] {
  if (flow.status === 'paused') return 'pause';
  if (!flow.admitted) return 'limit';
  return phase.rate === null ? null : 'rate';
}

/** Brings the flow's status in line with its phases after some of them changed. */
export function settleFlow(flow: ModelFlow): void {
  if (openOf(flow) === 0) {
    setFlow(flow, flow.failed > 0 ? 'failed' : 'completed');
    flow.due = 'none';
    tell(flow, `flow.${flow.status}`);
  } else if (activeOf(flow) === 0 && flow.status === 'running') setFlow(flow, 'waiting');
  else if (activeOf(flow) > 0 && flow.status === 'waiting') setFlow(flow, 'running');
}

/** Fails or quarantines a phase and skips what can never run now. */
export function endBranch(flow: ModelFlow, phase: ModelPhase, status: 'failed' | 'quarantined'): void {
  setPhase(phase, status);
  Object.assign(phase, { holder: null, due: 'none' });
  tell(flow, `phase.${status}`, phase);
  const behind = new Set<number>();
  const visit = (one: ModelPhase): void => {
    for (const next of one.dependants) {
      if (behind.has(next)) continue;
      behind.add(next);
      visit(phaseAt(flow, next));
    }
  };
  visit(phase);
  for (const ordinal of behind) {
    const skipped = phaseAt(flow, ordinal);
    if (skipped.status !== 'pending') continue;
    setPhase(skipped, 'skipped');
    tell(flow, 'phase.skipped', skipped);
  }
  flow.failed += 1;
  if (openOf(flow) === 0 || activeOf(flow) === 0) settleFlow(flow);
}

/** All awaited children of this run of a phase have ended, or one whose failure is the phase's own has failed. */
export function childrenHaveEnded(model: Model, flow: ModelFlow, phase: ModelPhase): boolean {
  const children = model.flows.filter(
    ({ parent }) => parent?.flow === flow.at && parent.phase === phase.ordinal && parent.run === flow.run,
  );
  const isFatal = (child: ModelFlow): boolean =>
    child.parent?.policy === 'fail' && (child.status === 'failed' || child.status === 'cancelled');
  return children.every((child) => !isOpen(child)) || children.some(isFatal);
}

export function flowAt(model: Model, at: number): ModelFlow {
  const flow = model.flows[at];
  if (flow === undefined) throw new Error(`there is no flow ${at}`);
  return flow;
}

export function phaseAt(flow: ModelFlow, ordinal: number): ModelPhase {
  const phase = flow.phases[ordinal];
  if (phase === undefined) throw new Error(`there is no phase ${ordinal}`);
  return phase;
}
