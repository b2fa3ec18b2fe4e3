// From a definition's name and an input to what the store needs of a flow: version, phases, limits. Used wherever flows are started.
import { durationMs } from '@millrace/shared';
import type { z } from 'zod';
import type { FlowDefinition } from './define-flow.ts';
import { planPhases, type FlowFault, type PhasePlan, type PlannedPhase } from './plan-phases.ts';
import type { FlowRegistry } from './registry.ts';

export type PlannedFlow = {
  definition: FlowDefinition;
  phases: readonly PlannedPhase[];
  /** The longest time from start to end; null: none. */
  timeoutMs: number | null;
  /** How long it may wait for its start; null: for ever. */
  expiresInMs: number | null;
};

export type FlowPlan =
  | { kind: 'planned'; flow: PlannedFlow }
  | { kind: 'unknown-flow' }
  | { kind: 'invalid-input'; issues: readonly z.core.$ZodIssue[] }
  /** The phases made for this input do not fit together. `phaseNames` in the order of definition. */
  | { kind: 'invalid-flow'; faults: readonly FlowFault[] };

export type FlowPlanner = {
  /** Plans a new flow of the latest version, or of `version`. */
  plan(name: string, input: unknown, version?: number): FlowPlan;
  /** Whether the definition says that its handlers wait for this signal. */
  declaresSignal(flow: { name: string; version: number }, signal: string): boolean;
};

export function createFlowPlanner(registry: FlowRegistry): FlowPlanner {
  // A fixed table of phases is planned once; one that depends on the input, or a rate limit that does, is planned for each.
  const plans = new WeakMap<FlowDefinition, PhasePlan>();
  const planOf = (definition: FlowDefinition, input: unknown): PhasePlan => {
    if (dependsOnInput(definition)) return planPhases(definition, input);
    const known = plans.get(definition) ?? planPhases(definition, input);
    plans.set(definition, known);
    return known;
  };
  return {
    declaresSignal: ({ name, version }, signal) => registry.get(name, version)?.signals?.includes(signal) === true,
    plan: (name, input, version) => {
      const definition = registry.get(name, version);
      if (definition === undefined) return { kind: 'unknown-flow' };
      const parsed = definition.input.safeParse(input);
      if (!parsed.success) return { kind: 'invalid-input', issues: parsed.error.issues };
      const plan = planOf(definition, parsed.data);
      if (!plan.ok) return { kind: 'invalid-flow', faults: plan.faults };
      return {
        kind: 'planned',
        flow: {
          definition,
          phases: plan.phases,
          timeoutMs: definition.timeout === undefined ? null : durationMs(definition.timeout),
          expiresInMs: definition.expiresIn === undefined ? null : durationMs(definition.expiresIn),
        },
      };
    },
  };
}

function dependsOnInput({ phases }: FlowDefinition): boolean {
  return typeof phases === 'function' || Object.values(phases).some((phase) => 'rateLimit' in phase && phase.rateLimit?.key !== undefined);
}
