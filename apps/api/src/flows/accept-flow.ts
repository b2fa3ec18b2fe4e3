// From a validated body to a flow that the store can insert: definition, input, start time, phases. Nothing is written here.
import { AppError, fieldError, LIMITS, storableJson, type NewFlowBody, type Principal } from '@millrace/shared';
import { phaseTable, planPhases, type FlowDefinition, type FlowRegistry, type PhasePlan } from '@millrace/sdk';
import type { Clock } from '@millrace/process';
import type { NewFlow } from '@millrace/store';
import { validate } from '../http/input/validate.ts';
import { acceptedFlow } from './flow-links.ts';

/** `dispatch` and `idempotency` are known later. */
export type FlowDraft = Omit<NewFlow, 'dispatch' | 'idempotency'>;

export type FlowAcceptor = {
  /** @throws AppError unknown-flow, validation, invalid-flow, nul-character … all 422 with pointers */
  accept(body: NewFlowBody, principal: Principal): FlowDraft;
};

const RUN_AT_AHEAD_YEARS_MAX = 10;

export function createFlowAcceptor({ registry, clock }: { registry: FlowRegistry; clock: Clock }): FlowAcceptor {
  // A fixed table of phases is planned once; one that depends on the input is planned for each.
  const plans = new WeakMap<FlowDefinition, PhasePlan>();
  const planOf = (definition: FlowDefinition, input: unknown): PhasePlan => {
    if (typeof definition.phases === 'function') return planPhases(definition, input);
    const known = plans.get(definition) ?? planPhases(definition, input);
    plans.set(definition, known);
    return known;
  };
  return {
    accept: (body, principal) => {
      const runAt = startTime(body.runAt, clock.nowMs());
      const definition = registry.get(body.flow);
      if (definition === undefined) throw fieldError('unknown-flow', '/flow', 'No flow definition has this name.');
      const input: unknown = validate(definition.input, body.input, '/input');
      const plan = planOf(definition, input);
      if (!plan.ok) throw invalidFlow(definition, input, plan.faults);
      return {
        workspace: principal.workspace,
        createdBy: principal.keyId,
        name: definition.name,
        version: definition.version,
        inputJson: inputText(body.input),
        tags: body.tags,
        priority: body.priority,
        runAt,
        phases: plan.phases,
        respond: (flowId) => ({ status: 202, body: acceptedFlow({ id: flowId, flow: definition.name, version: definition.version }) }),
      };
    },
  };
}

/** Null when the flow may start now, which a time in the past means too. */
function startTime(runAt: string | undefined, nowMs: number): string | null {
  if (runAt === undefined) return null;
  const atMs = Date.parse(runAt);
  if (Number.isNaN(atMs)) throw fieldError('validation', '/runAt', 'This is not a time.');
  if (atMs > yearsAfter(nowMs, RUN_AT_AHEAD_YEARS_MAX))
    throw fieldError('validation', '/runAt', 'A flow may be planned ten years ahead at most.');
  return atMs <= nowMs ? null : new Date(atMs).toISOString();
}

function yearsAfter(nowMs: number, years: number): number {
  const at = new Date(nowMs);
  return at.setUTCFullYear(at.getUTCFullYear() + years);
}

// What was sent is what is kept: the engine parses it again with the same schema before every attempt.
function inputText(input: unknown): string {
  const storable = storableJson(input, LIMITS.bodyBytesMax);
  if (storable.ok) return storable.text;
  throw fieldError('validation', '/input', storable.problem);
}

function invalidFlow(definition: FlowDefinition, input: unknown, faults: readonly { phase: string | null; message: string }[]): AppError {
  const names = Object.keys(phaseTable(definition, input));
  const errors = faults.slice(0, 50).map(({ phase, message }) => ({
    pointer: '/input',
    code: 'invalid-flow',
    message: phase === null ? message : `phase ${names.indexOf(phase) + 1} (${phase.slice(0, 100)}): ${message}`,
  }));
  return new AppError('invalid-flow', { detail: errors[0]?.message ?? 'The phases do not fit together.', errors });
}
