// The steps of the story: what may be drawn, what each does to the model, and which flow, phase, claim or delivery it is about.
import fc from 'fast-check';
import * as flows from './model-flows.ts';
import * as work from './model-work.ts';
import { flowAt, handOut, phaseAt, setPhase, type Awaited, type FlowShape, type Model, type ModelFlow } from './model.ts';

const WHOLE_STEPS = ['dispatch', 'releaseDue', 'admit', 'endWaits', 'endPauses', 'endCallbacks', 'endOverdue', 'tendChildren'] as const;
const FLOW_STEPS = ['pause', 'resume', 'cancel', 'retry', 'signal', 'startTimeComes', 'daysPass'] as const;
const CLAIM_STEPS = [
  'complete',
  'complete',
  'complete',
  'fail',
  'release',
  'quarantine',
  'suspend',
  'awaitCallback',
  'answer',
  'startChild',
] as const;
const PHASE_STEPS = ['claim', 'timePasses', 'dispatchAgain', 'postpone'] as const;

/** `at`: flow, phase, and how many claims or deliveries before the last one. `choice` says which way the step goes. */
export type Step =
  | { kind: 'create'; shape: FlowShape }
  | { kind: (typeof WHOLE_STEPS)[number] | 'pauseQueue' | 'resumeQueue' }
  | { kind: (typeof FLOW_STEPS)[number]; flow: number; choice: number }
  | { kind: (typeof CLAIM_STEPS)[number] | (typeof PHASE_STEPS)[number]; flow: number; phase: number; before: number; choice: number };
export type PhaseStep = Extract<Step, { phase: number }>;

/** Where steps are aimed at: by the model, or by what the database says when there is none. */
export type View = readonly { status: string; phases: readonly { status: string; jobCount: number; claimCount: number }[] }[];

const phaseShape = fc.record({
  needs: fc.uniqueArray(fc.nat(5), { maxLength: 3 }),
  signal: fc.oneof({ weight: 5, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.constantFrom('s0', 's1') }),
  timed: fc.boolean(),
  attemptMax: fc.integer({ min: 1, max: 3 }),
  rate: fc.oneof({ weight: 7, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.constantFrom('r0:a', 'r1:b') }),
});
const oneIn = (count: number) => fc.nat(count - 1).map((number) => number === 0);

export const flowShape: fc.Arbitrary<FlowShape> = fc
  .record({
    phases: fc.array(phaseShape, { minLength: 1, maxLength: 6 }),
    key: fc.oneof({ weight: 2, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.constantFrom('k0', 'k1') }),
    limit: fc.integer({ min: 1, max: 2 }),
    later: oneIn(12),
    expires: oneIn(4),
    timeout: oneIn(3),
    dispatch: fc.boolean(),
  })
  .map((shape) => ({
    ...shape,
    phases: shape.phases.map((phase, ordinal) => ({
      ...phase,
      needs: phase.needs.filter((need) => need < ordinal).toSorted((one, other) => one - other),
      rate: phase.signal === null ? phase.rate : null,
      timed: phase.signal !== null && phase.timed,
    })),
  }));

export type Draw = { shape: FlowShape | null; kind: number; pick: number; before: number; choice: number };

/** How often each step is drawn: mostly work, so that stories get somewhere. */
const WEIGHTS = {
  claim: 18,
  complete: 14,
  dispatch: 8,
  admit: 5,
  fail: 5,
  release: 4,
  suspend: 5,
  awaitCallback: 4,
  answer: 4,
  startChild: 3,
  quarantine: 2,
  timePasses: 6,
  endWaits: 3,
  endCallbacks: 2,
  tendChildren: 3,
  releaseDue: 2,
  endPauses: 1,
  endOverdue: 1,
  dispatchAgain: 2,
  postpone: 2,
  retry: 4,
  signal: 5,
  pause: 2,
  resume: 3,
  cancel: 1,
  startTimeComes: 2,
  daysPass: 1,
  pauseQueue: 1,
  resumeQueue: 4,
} satisfies Record<Exclude<Step['kind'], 'create'>, number>;
const KINDS = (Object.keys(WEIGHTS) as (keyof typeof WEIGHTS)[]).flatMap((kind) => Array.from({ length: WEIGHTS[kind] }, () => kind));

export const draw: fc.Arbitrary<Draw> = fc.record({
  shape: fc.option(flowShape, { freq: 10 }),
  kind: fc.nat(KINDS.length * 2 - 1),
  pick: fc.nat(999),
  before: fc.nat(7).map((number) => (number === 7 ? 1 : 0)),
  choice: fc.nat(3),
});

const LIKELY: Record<string, readonly string[]> = {
  claim: ['queued', 'retrying'],
  answer: ['waiting', 'running', 'queued'],
  timePasses: ['running', 'waiting', 'retrying', 'queued'],
  dispatchAgain: ['queued', 'retrying'],
  postpone: ['queued', 'retrying'],
};
const FLOWS_MAX = 8;

/** What a draw means here; undefined when there is nothing it could be about. */
export function aim({ shape, kind, pick, before, choice }: Draw, view: View): Step | undefined {
  const wanted = KINDS[kind % KINDS.length];
  if (view.length === 0 || (kind >= KINDS.length && kind % 8 === 0))
    return shape === null || view.length >= FLOWS_MAX ? undefined : { kind: 'create', shape };
  if (wanted === undefined) return undefined;
  if (isOneOf(FLOW_STEPS, wanted)) return { kind: wanted, flow: aimAtFlow(wanted, pick, view), choice };
  if (!isOneOf(CLAIM_STEPS, wanted) && !isOneOf(PHASE_STEPS, wanted)) return { kind: wanted };
  const isClaim = isOneOf(CLAIM_STEPS, wanted);
  const likely = LIKELY[wanted] ?? ['running'];
  const all = view.flatMap(({ phases }, flow) => phases.map((phase, ordinal) => ({ flow, ordinal, phase })));
  const possible = all.filter(({ phase }) => (isClaim ? phase.claimCount : wanted === 'timePasses' ? 1 : phase.jobCount) > before);
  const fitting = possible.filter(({ phase }) => likely.includes(phase.status));
  // Now and then any: most of these must be refused.
  const from = fitting.length === 0 || pick % 10 === 0 ? possible : fitting;
  const chosen = from[pick % Math.max(1, from.length)];
  return chosen && { kind: wanted, flow: chosen.flow, phase: chosen.ordinal, before, choice };
}

function aimAtFlow(wanted: string, pick: number, view: View): number {
  const likely = wanted === 'retry' ? 'failed' : wanted === 'resume' ? 'paused' : undefined;
  const fitting = view.flatMap(({ status }, at) => (status === likely ? [at] : []));
  return (pick % 10 === 0 ? undefined : fitting[pick % Math.max(1, fitting.length)]) ?? pick % view.length;
}

function isOneOf<Word extends string>(words: readonly Word[], word: string): word is Word {
  return (words as readonly string[]).includes(word);
}

export const CHILD: FlowShape = {
  phases: [{ needs: [], signal: null, timed: false, attemptMax: 1, rate: null }],
  key: null,
  limit: 1,
  later: false,
  expires: false,
  timeout: false,
  dispatch: true,
};

export const awaitsOf = (choice: number): Awaited =>
  [
    { kind: 'time' as const, names: [], children: false },
    { kind: 'signal' as const, names: ['s0'], children: false },
    { kind: 'time' as const, names: ['s1'], children: true },
    { kind: 'children' as const, names: [], children: true },
  ][choice] ?? { kind: 'time', names: [], children: false };
export const signalOf = (choice: number): string => ['s0', 's1', 's0', 'x'][choice] ?? 'x';
export const answerOf = (choice: number): work.Answer => (['output', 'retryable', 'fatal'] as const)[choice] ?? 'output';
export const policyOf = (choice: number) => (choice % 2 === 0 ? ('fail' as const) : ('continue' as const));

const WHOLE: Record<(typeof WHOLE_STEPS)[number], (model: Model) => void> = {
  dispatch: flows.dispatch,
  releaseDue: flows.releaseDue,
  admit: flows.admit,
  endWaits: flows.endWaits,
  endPauses: flows.endPauses,
  endCallbacks: flows.endCallbacks,
  endOverdue: flows.endOverdue,
  tendChildren: flows.tendChildren,
};

/** Does a step to the model and answers what it expects. `rights`: the run and attempt of the claim that a step is about. */
export function stepModel(model: Model, step: Step, rights: work.Right | undefined): string {
  switch (step.kind) {
    case 'create':
      flows.create(model, step.shape);
      return 'created';
    case 'pauseQueue':
    case 'resumeQueue':
      model.queuePaused = step.kind === 'pauseQueue';
      return 'done';
    case 'pause':
      return flows.pause(flowAt(model, step.flow), step.choice < 2);
    case 'resume':
      return flows.resume(model, flowAt(model, step.flow));
    case 'cancel':
      return flows.cancel(flowAt(model, step.flow));
    case 'retry':
      return flows.retry(flowAt(model, step.flow));
    case 'signal':
      return flows.signal(model, flowAt(model, step.flow), signalOf(step.choice));
    case 'startTimeComes':
      return startTimeComes(flowAt(model, step.flow));
    case 'daysPass':
      return daysPass(flowAt(model, step.flow));
    default:
      if ('phase' in step) return stepPhase(model, step, rights);
      WHOLE[step.kind](model);
      return 'done';
  }
}

function startTimeComes(flow: ModelFlow): string {
  if (!flow.later) return 'done';
  flow.later = false;
  for (const phase of flow.phases) if (phase.status === 'queued' && phase.job === null && phase.due === 'later') phase.due = 'past';
  return 'done';
}

function daysPass(flow: ModelFlow): string {
  if (flow.due !== 'none') flow.due = 'past';
  flow.expiryPast = true;
  if (flow.started) flow.startPast = true;
  return 'done';
}

function stepPhase(model: Model, step: PhaseStep, rights: work.Right | undefined): string {
  const flow = flowAt(model, step.flow);
  const phase = phaseAt(flow, step.phase);
  const held = { flow, phase, number: phase.claimCount - 1 - step.before };
  const delivery = phase.jobCount - 1 - step.before;
  const isMissing = phase.job === delivery && phase.due === 'past' && (phase.status === 'queued' || phase.status === 'retrying');
  switch (step.kind) {
    case 'claim':
      return work.claim(model, { flow, phase, number: delivery });
    case 'complete':
      return work.complete(model, held, { output: step.choice, skipped: step.choice === 3, continues: step.choice % 2 === 1 });
    case 'fail':
      return work.fail(model, held, step.choice > 0);
    case 'release':
      return work.release(model, held, step.choice % 2 === 0);
    case 'quarantine':
      return work.quarantine(held, step.choice % 2 === 0);
    case 'suspend':
      return work.suspend(model, held, awaitsOf(step.choice));
    case 'awaitCallback':
      return work.awaitCallback(model, held);
    case 'answer':
      return rights === undefined ? 'unknown' : work.answer(model, held, { ...rights, how: answerOf(step.choice) });
    case 'startChild':
      if (phase.status !== 'running' || phase.holder !== held.number) return 'fenced';
      flows.create(model, CHILD, { flow: flow.at, phase: phase.ordinal, run: flow.run, policy: policyOf(step.choice) });
      return 'started';
    case 'timePasses':
      if (phase.due === 'later' && !(phase.status === 'queued' && phase.job === null)) phase.due = 'past';
      return 'done';
    case 'dispatchAgain':
      if (isMissing) {
        setPhase(phase, 'queued');
        handOut(phase);
      }
      return 'done';
    case 'postpone':
      if (isMissing) {
        setPhase(phase, 'queued');
        phase.due = 'later';
      }
      return 'done';
  }
}
