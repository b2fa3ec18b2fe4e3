// All flow definitions a process knows, by name and version. Flows keep the version they started with, so older ones may stand beside the latest.
import { durationMs } from '@millrace/shared';
import type { FlowDefinition } from './define-flow.ts';

export type FlowRegistry = {
  /** The definition in this version; without one, the latest. */
  get(name: string, version?: number): FlowDefinition | undefined;
  /** Every definition in every version, by name, the latest version of each first. */
  list(): readonly FlowDefinition[];
};

/** The flows beyond it are found by counting those before. */
const COUNT_MAX = 1_000_000;
const FLOW_NAME_PATTERN = /^[a-z][a-z0-9._-]{0,99}$/;

/** @throws Error naming the definition when a name is not allowed, a version is taken twice, or is no positive integer, or its retention is none. */
export function createFlowRegistry(definitions: readonly FlowDefinition[]): FlowRegistry {
  const byName = new Map<string, FlowDefinition[]>();
  for (const definition of definitions) {
    if (!FLOW_NAME_PATTERN.test(definition.name)) throw new Error(`flow name "${definition.name}" must match ${FLOW_NAME_PATTERN.source}`);
    if (!Number.isInteger(definition.version) || definition.version < 1)
      throw new Error(`flow "${definition.name}": version must be a positive integer`);
    checkRetention(definition);
    const versions = byName.get(definition.name) ?? [];
    if (versions.some(({ version }) => version === definition.version))
      throw new Error(`flow "${definition.name}" is defined twice in version ${definition.version}`);
    byName.set(
      definition.name,
      [...versions, definition].sort((a, b) => b.version - a.version),
    );
  }
  return {
    get: (name, version) => {
      const versions = byName.get(name);
      return version === undefined ? versions?.[0] : versions?.find((definition) => definition.version === version);
    },
    list: () => [...byName.values()].flat(),
  };
}

// A mistake here deletes what should have been kept, so it is found at start.
function checkRetention({ name, retention }: FlowDefinition): void {
  const { age, count } = retention ?? {};
  if (count !== undefined && (!Number.isInteger(count) || count < 0 || count > COUNT_MAX))
    throw new Error(`flow "${name}": retention.count must be a whole number from 0 to ${COUNT_MAX}`);
  if (age === undefined) return;
  try {
    durationMs(age);
  } catch (error) {
    throw new Error(`flow "${name}": retention.age must be a duration such as '30d'`, { cause: error });
  }
}
