// Turns a definition and an input into the phases that will be rows: order, needs, limits. Refuses what does not fit together.
import { deepFreeze, DEFAULT_RETRY, durationMs, LIMITS, type Duration } from '@millrace/shared';
import type { FlowDefinition, HttpDefinition, PhaseDefinition, PhaseTable, WaitDefinition, WorkOptions } from './define-flow.ts';
import { onCycles } from './graph-cycles.ts';
import { httpProblems } from './http-problems.ts';
import { limitFaults, rateKeyOf } from './rate-limits.ts';

/** `signal` and `waitTimeoutMs` are null for a phase that runs a handler; a timeout of null waits for ever. */
export type PlannedPhase = {
  name: string;
  ordinal: number;
  needs: readonly number[];
  dependants: readonly number[];
  attemptMax: number;
  signal: string | null;
  waitTimeoutMs: number | null;
  rateKey: string | null;
};

export type FlowFault = { phase: string | null; message: string };

export type PhasePlan = { ok: true; phases: readonly PlannedPhase[] } | { ok: false; faults: readonly FlowFault[] };

const EXPIRY_MS_MAX = 3_650 * 86_400_000;
const PHASE_NAME_PATTERN = /^[A-Za-z][A-Za-z0-9_.-]{0,99}$/;

/** The phases of a definition for one input, as written. A function gets the input read-only, as handlers do. */
export function phaseTable<Input>(definition: FlowDefinition<Input>, input: Input): PhaseTable<Input> {
  return typeof definition.phases === 'function' ? definition.phases(deepFreeze(input)) : definition.phases;
}

/** Plans a flow: phases in the order of definition, with the ordinals of what each needs and of what waits for it. */
export function planPhases<Input>(definition: FlowDefinition<Input>, input: Input): PhasePlan {
  const table = phaseTable(definition, input);
  const names = Object.keys(table);
  const faults = countFaults(names.length) ?? [...flowFaults(definition), ...phaseFaults(table, names), ...limitFaults(definition, table)];
  if (faults.length > 0) return { ok: false, faults };
  const ordinals = new Map(names.map((name, ordinal) => [name, ordinal]));
  const phases = names.map((name, ordinal) => ({
    name,
    ordinal,
    needs: (table[name]?.needs ?? []).map((need) => ordinals.get(need) ?? -1),
    dependants: [] as number[],
    ...attemptsAndWait(table[name]),
    rateKey: rateKeyOf(table[name], input),
  }));
  for (const phase of phases) for (const need of phase.needs) phases[need]?.dependants.push(phase.ordinal);
  const cyclic = onCycles(phases).map((phase) => phase.name);
  if (cyclic.length > 0)
    return { ok: false, faults: cyclic.map((name) => ({ phase: name, message: 'it needs itself, directly or through others' })) };
  return { ok: true, phases };
}

function attemptsAndWait<Input>(phase: PhaseDefinition<Input> | undefined): Pick<PlannedPhase, 'attemptMax' | 'signal' | 'waitTimeoutMs'> {
  if (phase === undefined || !('waitFor' in phase))
    return { attemptMax: phase?.retry?.attempts ?? DEFAULT_RETRY.attempts, signal: null, waitTimeoutMs: null };
  const { signal, timeout } = phase.waitFor;
  return { attemptMax: 1, signal, waitTimeoutMs: timeout === undefined ? null : durationMs(timeout) };
}

function countFaults(count: number): FlowFault[] | undefined {
  if (count === 0) return [{ phase: null, message: 'a flow needs at least one phase' }];
  if (count > LIMITS.phasesMax) return [{ phase: null, message: `a flow has at most ${LIMITS.phasesMax} phases, this one has ${count}` }];
  return undefined;
}

function flowFaults<Input>({ timeout, expiresIn }: FlowDefinition<Input>): FlowFault[] {
  const expiry =
    expiresIn === undefined || isDuration(expiresIn, EXPIRY_MS_MAX) ? [] : ['expiresIn must be a duration of at most ten years'];
  return [...limitProblems({ timeout }), ...expiry].map((message) => ({ phase: null, message }));
}

function phaseFaults<Input>(table: PhaseTable<Input>, names: readonly string[]): FlowFault[] {
  return names.flatMap((name) => {
    const phase = table[name];
    if (phase === undefined) return [];
    const problems = [
      ...nameProblems(name),
      ...needProblems(table, phase),
      ...('waitFor' in phase ? waitProblems(phase) : runProblems(phase)),
      ...('http' in phase ? requestProblems(phase) : []),
    ];
    return problems.map((message) => ({ phase: name, message }));
  });
}

function nameProblems(name: string): string[] {
  return PHASE_NAME_PATTERN.test(name)
    ? []
    : ['its name must start with a letter and have only letters, digits, ".", "_" and "-", 100 at most'];
}

function needProblems<Input>(table: PhaseTable<Input>, phase: PhaseDefinition<Input>): string[] {
  const needs = phase.needs ?? [];
  const unknown = needs.filter((need) => !Object.hasOwn(table, need)).map((need) => `it needs "${need}", which is no phase of this flow`);
  return new Set(needs).size === needs.length ? unknown : [...unknown, 'it names a phase twice in needs'];
}

// It takes no worker, so there is nobody who could ask a condition, hold a lock or try again.
function waitProblems({ waitFor, needs: _needs, ...others }: WaitDefinition): string[] {
  const named = PHASE_NAME_PATTERN.test(waitFor.signal) ? [] : ['the signal it waits for must be named like a phase'];
  const senseless = Object.keys(others).map((field) => `${field} has no meaning for a phase that waits for a signal`);
  return [...named, ...senseless, ...durationProblems({ 'waitFor.timeout': waitFor.timeout })];
}

function runProblems<Input>(phase: WorkOptions<Input>): string[] {
  return [
    ...retryProblems(phase),
    ...limitProblems({ 'timeout.soft': phase.timeout?.soft, 'timeout.hard': phase.timeout?.hard }),
    ...isolateProblems(phase),
  ];
}

/** Less than the lower bound is not enough for the process itself. */
const ISOLATED_MB = { min: 64, max: 65_536 };

function isolateProblems<Input>(phase: WorkOptions<Input> & { isolate?: boolean | { memoryMb?: number } }): string[] {
  const memoryMb = typeof phase.isolate === 'object' ? phase.isolate.memoryMb : undefined;
  if (memoryMb === undefined || (Number.isInteger(memoryMb) && memoryMb >= ISOLATED_MB.min && memoryMb <= ISOLATED_MB.max)) return [];
  return [`isolate.memoryMb must be an integer from ${ISOLATED_MB.min} to ${ISOLATED_MB.max}`];
}

function requestProblems<Input>({ http }: HttpDefinition<Input>): string[] {
  return [...httpProblems(http), ...limitProblems({ 'http.callbackTimeout': http.callbackTimeout })];
}

function retryProblems<Input>(phase: WorkOptions<Input>): string[] {
  const { attempts = DEFAULT_RETRY.attempts, backoff = DEFAULT_RETRY.backoff } = phase.retry ?? {};
  const jitter = backoff.jitter ?? 0;
  return [
    ...(Number.isInteger(attempts) && attempts >= 1 && attempts <= 1_000 ? [] : ['retry.attempts must be an integer from 1 to 1000']),
    ...durationProblems({ 'retry.backoff.delay': backoff.delay, 'retry.backoff.max': backoff.max }),
    ...(jitter >= 0 && jitter <= 1 ? [] : ['retry.backoff.jitter must be from 0 to 1']),
  ];
}

// Found here rather than when an attempt ends: by then nobody could be told.
function durationProblems(durations: Record<string, Duration | undefined>): string[] {
  return Object.entries(durations).flatMap(([field, duration]) =>
    duration === undefined || isDuration(duration, LIMITS.timerMsMax) ? [] : [`${field} must be a duration of at most 24 days`],
  );
}

// Nothing can be done in no time.
function limitProblems(limits: Record<string, Duration | undefined>): string[] {
  return Object.entries(limits).flatMap(([field, limit]) => {
    const problems = durationProblems({ [field]: limit });
    return problems.length === 0 && limit !== undefined && durationMs(limit) === 0 ? [`${field} must be longer than nothing`] : problems;
  });
}

function isDuration(duration: Duration, msMax: number): boolean {
  try {
    return durationMs(duration) <= msMax;
  } catch {
    return false;
  }
}
