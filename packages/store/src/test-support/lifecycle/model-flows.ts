// What happens to flows of the model from outside and by the clock: starts, pauses, signals, limits, ends and retries.
import { completeAll, endCallback } from './model-work.ts';
import {
  activeOf,
  childrenHaveEnded,
  endBranch,
  ENDED,
  flowAt,
  handOut,
  isDone,
  isOpen,
  phaseAt,
  requeue,
  setFlow,
  setPhase,
  tell,
  TOKENS_MAX,
  type FlowShape,
  type Model,
  type ModelFlow,
  type ModelPhase,
  type Parent,
} from './model.ts';

export function create(model: Model, shape: FlowShape, parent: Parent | null = null): void {
  const phases = shape.phases.map((phase, ordinal) => newPhase(shape, phase, ordinal));
  const { dispatch, ...rest } = shape;
  const flow: ModelFlow = {
    ...rest,
    at: model.flows.length,
    phases,
    status: phases.some(({ status }) => status === 'queued') ? 'queued' : 'waiting',
    run: 1,
    failed: 0,
    admitted: shape.key === null,
    started: false,
    expiryPast: false,
    startPast: false,
    due: shape.expires ? 'later' : 'none',
    pause: null,
    parent,
    settled: false,
    signals: [],
    events: ['flow.queued'],
  };
  model.flows.push(flow);
  for (const phase of phases) {
    if (phase.status === 'pending') continue;
    tell(flow, `phase.${phase.status}`, phase);
    if (phase.status === 'queued' && phase.held === null && dispatch && !shape.later) handOut(phase);
  }
}

function newPhase(shape: FlowShape, phase: FlowShape['phases'][number], ordinal: number): ModelPhase {
  const isRoot = phase.needs.length === 0;
  const runs = isRoot && phase.signal === null;
  return {
    ...phase,
    name: `p${ordinal}`,
    ordinal,
    dependants: shape.phases.flatMap(({ needs }, other) => (needs.includes(ordinal) ? [other] : [])),
    status: !isRoot ? 'pending' : runs ? 'queued' : 'waiting',
    needsOpen: phase.needs.length,
    attempts: 0,
    held: !runs ? null : shape.key !== null ? 'limit' : phase.rate !== null ? 'rate' : null,
    due: runs ? (shape.later ? 'later' : 'none') : isRoot && phase.timed ? 'later' : 'none',
    output: null,
    skippedItself: false,
    awaits: null,
    jobCount: 0,
    job: null,
    claimCount: 0,
    holder: null,
    answered: new Set(),
  };
}

/** What is free goes from the backlog into the queue. */
export function dispatch(model: Model): void {
  if (model.queuePaused) return;
  for (const phase of model.flows.flatMap(({ phases }) => phases))
    if (phase.status === 'queued' && phase.job === null && phase.due === 'none' && phase.held === null) handOut(phase);
}

export function releaseDue(model: Model): void {
  for (const phase of model.flows.flatMap(({ phases }) => phases))
    if (phase.status === 'queued' && phase.job === null && phase.due === 'past') phase.due = 'none';
}

/** First in first out under each key; then rates, as long as there are tokens and the queue is not paused. */
export function admit(model: Model): void {
  releaseDue(model);
  for (const key of new Set(model.flows.map((flow) => flow.key))) {
    if (key === null) continue;
    const open = model.flows.filter((flow) => flow.key === key && isOpen(flow));
    let taken = open.filter(({ admitted }) => admitted).length;
    for (const flow of open.filter(({ admitted, later }) => !admitted && !later)) {
      if (taken >= flow.limit) break;
      taken += 1;
      letIn(flow);
    }
  }
  if (model.queuePaused) return;
  for (const phase of model.flows.flatMap(({ phases }) => phases)) {
    if (phase.held !== 'rate' || phase.rate === null || phase.due !== 'none') continue;
    const used = model.tokens.get(phase.rate) ?? 0;
    if (used >= TOKENS_MAX) continue;
    model.tokens.set(phase.rate, used + 1);
    phase.held = null;
  }
}

function letIn(flow: ModelFlow): void {
  flow.admitted = true;
  for (const phase of flow.phases) if (phase.held === 'limit') phase.held = phase.rate === null ? null : 'rate';
}

export function pause(flow: ModelFlow, hasEnd: boolean): string {
  if (flow.status === 'paused' || !isOpen(flow)) return `refused ${flow.status}`;
  flow.pause = { from: flow.status, due: flow.due };
  setFlow(flow, 'paused');
  flow.due = hasEnd ? 'later' : 'none';
  for (const phase of flow.phases.filter(({ status }) => status === 'queued'))
    Object.assign(phase, { held: 'pause', due: phase.job === null && phase.due === 'later' ? 'later' : 'none', job: null });
  tell(flow, 'flow.paused');
  return 'done';
}

export function resume(model: Model, flow: ModelFlow): string {
  if (flow.status !== 'paused' || flow.pause === null) return `refused ${flow.status}`;
  setFlow(flow, activeOf(flow) === 0 ? 'waiting' : flow.pause.from === 'queued' ? 'queued' : 'running');
  flow.due = flow.pause.due;
  flow.pause = null;
  for (const phase of flow.phases) {
    if (phase.held === 'pause') phase.held = !flow.admitted ? 'limit' : phase.rate === null ? null : 'rate';
    // A wait whose time ran out meanwhile gets a little more.
    if (phase.status === 'waiting' && phase.due === 'past') phase.due = 'later';
  }
  tell(flow, 'flow.resumed');
  deliverKept(model, flow);
  return 'done';
}

export function signal(model: Model, flow: ModelFlow, name: string): string {
  if (!name.startsWith('s')) return 'not-found';
  if (!isOpen(flow)) return `refused ${flow.status}`;
  if (flow.signals.some((sent) => sent.name === name && sent.run === flow.run)) return 'already-sent';
  flow.signals.push({ name, run: flow.run, delivered: false });
  deliver(model, flow, name);
  return 'sent';
}

function deliverKept(model: Model, flow: ModelFlow): void {
  for (const kept of flow.signals.filter(({ delivered }) => !delivered)) {
    if (kept.run !== flow.run || !isOpen(flow)) kept.delivered = true;
    deliver(model, flow, kept.name);
  }
}

function deliver(model: Model, flow: ModelFlow, name: string): void {
  const sent = flow.signals.find((one) => one.name === name && one.run === flow.run);
  if (sent === undefined || flow.later || flow.status === 'paused' || !isOpen(flow)) return;
  const waiting = flow.phases.filter((phase) => phase.status === 'waiting' && phase.signal === name);
  const suspended = flow.phases.filter((phase) => phase.status === 'waiting' && phase.awaits?.names.includes(name) === true);
  if (waiting.length + suspended.length === 0) return;
  sent.delivered = true;
  for (const phase of suspended) wake(model, flow, phase);
  if (waiting.length === 0) return;
  if (flow.status === 'queued' || !flow.started) tell(flow, 'flow.started');
  if (flow.status === 'queued' || !flow.started) flow.due = flow.timeout ? 'later' : 'none';
  if (flow.status === 'queued') setFlow(flow, 'running');
  flow.started = true;
  for (const phase of waiting) {
    setPhase(phase, 'running');
    phase.holder = null;
  }
  completeAll(model, flow, { phases: waiting, output: name, skipped: false, continues: false });
}

function wake(model: Model, flow: ModelFlow, phase: ModelPhase): void {
  requeue(model, flow, phase);
  if (flow.status === 'waiting') setFlow(flow, 'running');
}

/** Signals that came early, then waits whose time is over. */
export function endWaits(model: Model): void {
  for (const flow of model.flows) if (flow.status !== 'paused') deliverKept(model, flow);
  for (const flow of model.flows)
    for (const phase of flow.phases) {
      if (phase.status !== 'waiting' || phase.due !== 'past' || phase.awaits?.kind === 'callback') continue;
      if (phase.awaits !== null) wake(model, flow, phase);
      else if (flow.status === 'paused') phase.due = 'later';
      else endBranch(flow, phase, 'failed');
    }
}

export function endPauses(model: Model): void {
  for (const flow of model.flows) if (flow.status === 'paused' && flow.due === 'past') resume(model, flow);
}

export function endCallbacks(model: Model): void {
  for (const flow of model.flows)
    for (const phase of flow.phases)
      if (phase.status === 'waiting' && phase.due === 'past' && phase.awaits?.kind === 'callback') endCallback(flow, phase);
}

/** Flows that have not started in time, or take too long. */
export function endOverdue(model: Model): void {
  for (const flow of model.flows) {
    if (!isOpen(flow) || flow.due !== 'past') continue;
    const isExpired = flow.run === 1 && !flow.started && flow.expires && flow.expiryPast;
    const isTimedOut = flow.timeout && flow.started && flow.startPast && (flow.run === 1 || flow.status !== 'paused');
    if (isExpired || isTimedOut) end(flow, 'failed');
    else if (flow.status !== 'paused') {
      const isOwn = flow.started ? flow.timeout : flow.run === 1 && flow.expires;
      flow.due = isOwn ? 'later' : 'none';
    }
  }
}

function end(flow: ModelFlow, status: 'failed' | 'cancelled'): void {
  for (const phase of flow.phases) {
    if (ENDED.includes(phase.status)) continue;
    setPhase(phase, 'cancelled');
    Object.assign(phase, { held: null, due: 'none', awaits: null, holder: null, job: null });
  }
  setFlow(flow, status);
  flow.due = 'none';
  flow.pause = null;
  tell(flow, `flow.${status}`);
}

export function cancel(flow: ModelFlow): string {
  if (!isOpen(flow)) return `refused ${flow.status}`;
  end(flow, 'cancelled');
  return 'done';
}

export function retry(flow: ModelFlow): string {
  if (flow.status !== 'failed') return `refused ${flow.status}`;
  const reset = flow.phases.filter((phase) => !isDone(phase));
  for (const phase of reset) phase.needsOpen = phase.needs.filter((need) => !isDone(phaseAt(flow, need))).length;
  for (const phase of reset) {
    const isReady = phase.needsOpen === 0;
    const runs = isReady && phase.signal === null;
    setPhase(phase, !isReady ? 'pending' : runs ? 'queued' : 'waiting');
    Object.assign(phase, { attempts: 0, job: null, holder: null, awaits: null, output: null, skippedItself: false });
    phase.held = !runs ? null : flow.key !== null ? 'limit' : phase.rate !== null ? 'rate' : null;
    phase.due = isReady && phase.signal !== null && phase.timed ? 'later' : 'none';
  }
  setFlow(flow, activeOf(flow) === 0 ? 'waiting' : 'queued');
  Object.assign(flow, { run: flow.run + 1, failed: 0, admitted: flow.key === null, due: 'none', settled: false, pause: null });
  tell(flow, 'flow.queued');
  for (const phase of reset) if (phase.status !== 'pending') tell(flow, `phase.${phase.status}`, phase);
  return 'done';
}

/** Tells parents of children that have ended, then cancels children whose parent has ended without them. */
export function tendChildren(model: Model): void {
  const told = model.flows.filter((flow) => flow.parent !== null && !isOpen(flow) && !flow.settled);
  for (const child of told) child.settled = true;
  for (const { parent } of told) {
    if (parent === null) continue;
    const flow = flowAt(model, parent.flow);
    const phase = phaseAt(flow, parent.phase);
    if (phase.status === 'waiting' && phase.awaits?.children === true && childrenHaveEnded(model, flow, phase)) wake(model, flow, phase);
  }
  const orphans = model.flows.filter(
    ({ parent, ...flow }) =>
      parent !== null &&
      flow.status !== 'completed' &&
      ['cancelled', 'failed', 'quarantined', 'completed'].includes(phaseAt(flowAt(model, parent.flow), parent.phase).status),
  );
  for (const orphan of orphans) cancel(orphan);
}
