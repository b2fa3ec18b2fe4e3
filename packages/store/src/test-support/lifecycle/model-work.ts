// What workers, and services that call back, do to phases of the model. Each answers in a word what became of it.
import {
  childrenHaveEnded,
  endBranch,
  handOut,
  holdOf,
  requeue,
  setFlow,
  setPhase,
  settleFlow,
  tell,
  phaseAt,
  activeOf,
  isOpen,
  type Awaited,
  type Model,
  type ModelFlow,
  type ModelPhase,
} from './model.ts';

/** What a worker's step is about: the n-th claim or delivery that was handed out for this phase. */
export type Held = { flow: ModelFlow; phase: ModelPhase; number: number };

const isHolder = ({ phase, number }: Held): boolean => phase.status === 'running' && phase.holder === number;

export function claim(model: Model, { flow, phase, number }: Held): string {
  if (phase.job !== number || !isOpen(flow)) return 'stale';
  const isReady = phase.status === 'queued' || (phase.status === 'retrying' && phase.due === 'past');
  const isHeldBack = flow.status === 'paused' || model.queuePaused;
  if (isHeldBack && (phase.status === 'queued' || phase.status === 'retrying')) {
    setPhase(phase, 'queued');
    Object.assign(phase, { job: null, due: 'none', held: flow.status === 'paused' ? 'pause' : null });
    return 'stale';
  }
  if (!isReady) return flow.status !== 'paused' && (phase.status === 'running' || phase.status === 'retrying') ? 'not-yet' : 'stale';
  start(flow);
  setFlow(flow, 'running');
  begin(flow, phase);
  return 'claimed';
}

function start(flow: ModelFlow): void {
  if (flow.status === 'queued') {
    tell(flow, 'flow.started');
    flow.due = flow.timeout ? 'later' : 'none';
  }
  flow.started = true;
}

function begin(flow: ModelFlow, phase: ModelPhase): void {
  setPhase(phase, 'running');
  Object.assign(phase, { holder: phase.claimCount, claimCount: phase.claimCount + 1, due: 'later', awaits: null });
  tell(flow, 'phase.started', phase);
}

export type Completion = { output: unknown; skipped: boolean; continues: boolean };

export function complete(model: Model, held: Held, completion: Completion): string {
  return isHolder(held) ? completeAll(model, held.flow, { phases: [held.phase], ...completion }) : 'refused';
}

/** Completes phases of one flow together. Answers which one its worker goes on with, if any. */
export function completeAll(model: Model, flow: ModelFlow, done: Completion & { phases: ModelPhase[] }): string {
  const met = new Map<ModelPhase, number>();
  for (const phase of done.phases) {
    setPhase(phase, done.skipped ? 'skipped' : 'completed');
    tell(flow, `phase.${phase.status}`, phase);
    Object.assign(phase, {
      due: 'none',
      awaits: null,
      holder: null,
      output: done.skipped ? null : done.output,
      skippedItself: done.skipped,
    });
    phase.attempts += done.skipped ? 0 : 1;
    for (const next of phase.dependants) met.set(phaseAt(flow, next), (met.get(phaseAt(flow, next)) ?? 0) + 1);
  }
  const [first] = [...met.keys()].toSorted((one, other) => one.ordinal - other.ordinal);
  let answer = 'committed';
  for (const [phase, count] of met) {
    if (phase.status !== 'pending') continue;
    phase.needsOpen -= count;
    if (phase.needsOpen > 0) continue;
    if (makeReady(model, flow, phase) && done.continues && phase === first) {
      begin(flow, phase);
      answer = `goes on with ${phase.name}`;
    }
  }
  settleFlow(flow);
  return answer;
}

// Answers whether it is dispatched at once.
function makeReady(model: Model, flow: ModelFlow, phase: ModelPhase): boolean {
  if (phase.signal !== null) {
    setPhase(phase, 'waiting');
    phase.due = phase.timed ? 'later' : 'none';
    tell(flow, 'phase.waiting', phase);
    return false;
  }
  phase.held = holdOf(flow, phase);
  setPhase(phase, 'queued');
  tell(flow, 'phase.queued', phase);
  if (phase.held !== null || model.queuePaused) return false;
  handOut(phase);
  return true;
}

export function fail(_model: Model, held: Held, mayRetry: boolean): string {
  if (!isHolder(held)) return 'refused';
  endAttempt(held.flow, held.phase, mayRetry);
  return 'committed';
}

function endAttempt(flow: ModelFlow, phase: ModelPhase, mayRetry: boolean): void {
  phase.attempts += 1;
  if (!mayRetry || phase.attempts >= phase.attemptMax) return endBranch(flow, phase, 'failed');
  setPhase(phase, 'retrying');
  Object.assign(phase, { holder: null, due: 'later' });
  tell(flow, 'phase.retrying', phase);
}

export function release(model: Model, held: Held, isLost: boolean): string {
  if (!isHolder(held) || (isLost && held.phase.due !== 'past')) return 'refused';
  requeue(model, held.flow, held.phase);
  return 'committed';
}

/** `isSeen`: its worker has seen the phase's own process die, so nobody need wait for the lease to run out. */
export function quarantine(held: Held, isSeen: boolean): string {
  if (!isHolder(held) || (!isSeen && held.phase.due !== 'past')) return 'refused';
  endBranch(held.flow, held.phase, 'quarantined');
  return 'committed';
}

export function suspend(model: Model, held: Held, awaits: Awaited): string {
  if (!isHolder(held)) return 'refused';
  const { flow, phase } = held;
  const hasSignal = flow.signals.some(({ name, run }) => run === flow.run && awaits.names.includes(name));
  if (hasSignal || (awaits.children && childrenHaveEnded(model, flow, phase))) requeue(model, flow, phase);
  else park(flow, phase, { awaits, due: awaits.kind === 'time' ? 'later' : 'none' });
  return 'committed';
}

export function awaitCallback(_model: Model, held: Held): string {
  if (!isHolder(held)) return 'refused';
  park(held.flow, held.phase, { awaits: { kind: 'callback', names: [], children: false }, due: 'later' });
  return 'committed';
}

function park(flow: ModelFlow, phase: ModelPhase, change: Pick<ModelPhase, 'awaits' | 'due'>): void {
  setPhase(phase, 'waiting');
  Object.assign(phase, { holder: null, ...change });
  tell(flow, 'phase.waiting', phase);
  if (activeOf(flow) === 0) settleFlow(flow);
}

export type Answer = 'output' | 'retryable' | 'fatal';
export type Right = { run: number; attempt: number };

/** A service ends the attempt that it was called in. */
export function answer(model: Model, { flow, phase }: Held, { run, attempt, how }: Right & { how: Answer }): string {
  if (flow.run !== run) return 'unknown';
  if (!isOpen(flow)) return 'refused flow-ended';
  const isOpenPhase = phase.status === 'queued' || phase.status === 'running' || phase.status === 'waiting';
  if (!isOpenPhase || phase.attempts !== attempt - 1) {
    const isOver = phase.answered.has(`${run} ${attempt}`) || ['completed', 'failed', 'skipped', 'quarantined'].includes(phase.status);
    return isOver ? 'refused answered' : 'unknown';
  }
  takeOver(flow, phase);
  if (how === 'output') {
    completeAll(model, flow, { phases: [phase], output: 'answer', skipped: false, continues: false });
    return 'accepted completed';
  }
  phase.answered.add(`${run} ${attempt}`);
  endBySomebody(flow, phase, how === 'retryable');
  return `accepted ${phase.status}`;
}

export function endCallback(flow: ModelFlow, phase: ModelPhase): void {
  takeOver(flow, phase);
  endBySomebody(flow, phase, true);
}

function takeOver(flow: ModelFlow, phase: ModelPhase): void {
  setPhase(phase, 'running');
  Object.assign(phase, { holder: null, due: 'none', awaits: null, held: null });
  if (flow.status === 'waiting') setFlow(flow, 'running');
}

function endBySomebody(flow: ModelFlow, phase: ModelPhase, mayRetry: boolean): void {
  endAttempt(flow, phase, mayRetry);
  if (phase.status === 'retrying') handOut(phase);
}
