// Lets go what concurrency keys and rate limits hold, when its turn comes. Woken by whoever frees a place in this process; the doorbells in
// PostgreSQL tell of the others.
import { createLoop, type Logger, type Loop, type PassResult } from '@millrace/process';
import { windowsOf, type FlowDefinition, type FlowRegistry } from '@millrace/sdk';
import type { SlidingWindow } from '@millrace/shared';
import { admitDue, type Database } from '@millrace/store';

export type AdmissionsDeps = {
  database: Database;
  registry: FlowRegistry;
  /** Called when something was let go: it is in the backlog now. */
  onAdmitted(): void;
  log: Logger;
  onPass(pass: { loop: string; durationMs: number; failed: boolean }): void;
};

/** How late a place that another process freed is given away at worst. */
const IDLE_MS = 100;
/** While another process decides about a key whose doorbell is due. */
const BUSY_MS = 10;

export function createAdmissions(deps: AdmissionsDeps): Loop {
  return createLoop({ name: 'admissions', intervalMs: IDLE_MS, log: deps.log, onPass: deps.onPass, runOnce: () => admitSome(deps) });
}

async function admitSome({ database, registry, onAdmitted }: AdmissionsDeps): Promise<PassResult> {
  const { admitted, waitMs } = await admitDue(database, knownLimits(registry));
  if (admitted > 0) onAdmitted();
  if (waitMs === 0) return admitted > 0 ? 'again' : { waitMs: BUSY_MS };
  return waitMs === null ? 'idle' : { waitMs: Math.min(IDLE_MS, Math.ceil(waitMs)) };
}

/**
 * Windows by the name of their limit. Limits are shared by all flows that name them: where two definitions differ, the one whose name comes
 * first decides, in its latest version, in every process that knows it.
 */
export function knownLimits(registry: FlowRegistry): ReadonlyMap<string, readonly SlidingWindow[]> {
  const known = new Map<string, readonly SlidingWindow[]>();
  const definitions = registry.list().toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : b.version - a.version));
  for (const definition of definitions)
    for (const name of Object.keys(definition.limits ?? {})) {
      const windows = soundWindows(definition, name);
      if (windows !== undefined && !known.has(name)) known.set(name, windows);
    }
  return known;
}

// A limit that is not well formed is refused when a flow starts that names it; here it must not stop the others.
function soundWindows(definition: FlowDefinition, name: string): SlidingWindow[] | undefined {
  try {
    const windows = windowsOf(definition, name) ?? [];
    return windows.length > 0 && windows.every(({ max, perMs }) => max > 0 && perMs > 0) ? windows : undefined;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
