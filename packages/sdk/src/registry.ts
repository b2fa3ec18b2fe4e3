// All flow definitions a process knows, by name. Two definitions of one name are a fault of the configuration.
import type { FlowDefinition } from './define-flow.ts';

export type FlowRegistry = {
  get(name: string): FlowDefinition | undefined;
  list(): readonly FlowDefinition[];
};

const FLOW_NAME_PATTERN = /^[a-z][a-z0-9._-]{0,99}$/;

/** @throws Error naming the definition when a name is not allowed, taken twice, or a version is no positive integer. */
export function createFlowRegistry(definitions: readonly FlowDefinition[]): FlowRegistry {
  const byName = new Map<string, FlowDefinition>();
  for (const definition of definitions) {
    if (!FLOW_NAME_PATTERN.test(definition.name)) throw new Error(`flow name "${definition.name}" must match ${FLOW_NAME_PATTERN.source}`);
    if (!Number.isInteger(definition.version) || definition.version < 1)
      throw new Error(`flow "${definition.name}": version must be a positive integer`);
    if (byName.has(definition.name)) throw new Error(`flow "${definition.name}" is defined twice`);
    byName.set(definition.name, definition);
  }
  return { get: (name) => byName.get(name), list: () => [...byName.values()] };
}
