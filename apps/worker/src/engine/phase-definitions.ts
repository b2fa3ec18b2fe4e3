// Finds the code for a claimed phase: the definition of its flow in the flow's version, and the phase made for its input.
import { deepFreeze } from '@millrace/shared';
import { phaseTable, type FlowRegistry, type PhaseDefinition, type RunDefinition } from '@millrace/sdk';
import type { ClaimedPhase } from '@millrace/store';
import type { HttpPhases } from './http/http-phases.ts';

export type FoundPhase =
  | { kind: 'found'; definition: RunDefinition; input: unknown }
  | { kind: 'unknown'; reason: 'unknown-flow' | 'unknown-version' | 'unknown-phase' };

export type PhaseDefinitions = { find(phase: ClaimedPhase): FoundPhase };

/** Flows whose parsed input and phases are kept ready, because their phases tend to come one after the other. */
const CACHED_FLOWS_MAX = 500;

type Prepared = { input: unknown; table: Readonly<Record<string, PhaseDefinition>> };

/** @param http turns phases that call a service into such that run a handler */
export function createPhaseDefinitions(registry: FlowRegistry, http: HttpPhases): PhaseDefinitions {
  const cache = new Map<string, Prepared>();
  const prepare = (phase: ClaimedPhase, definition: NonNullable<ReturnType<FlowRegistry['get']>>): Prepared => {
    const known = cache.get(phase.flowId);
    if (known !== undefined) return known;
    // All phases of the flow that run here get this one value: what one of them changed, the others would see.
    const input = deepFreeze(definition.input.parse(phase.input));
    const prepared = { input, table: phaseTable(definition, input) };
    const oldest = cache.keys().next();
    if (cache.size >= CACHED_FLOWS_MAX && oldest.done !== true) cache.delete(oldest.value);
    cache.set(phase.flowId, prepared);
    return prepared;
  };
  return {
    find: (phase) => {
      const definition = registry.get(phase.flow, phase.version);
      if (definition === undefined)
        return { kind: 'unknown', reason: registry.get(phase.flow) === undefined ? 'unknown-flow' : 'unknown-version' };
      const { input, table } = prepare(phase, definition);
      const found = Object.hasOwn(table, phase.name) ? table[phase.name] : undefined;
      // A phase that waits for a signal is never dispatched.
      return found === undefined || 'waitFor' in found
        ? { kind: 'unknown', reason: 'unknown-phase' }
        : { kind: 'found', definition: 'http' in found ? http.asRun(found, phase) : found, input };
    },
  };
}
