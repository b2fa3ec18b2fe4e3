// ctx.step: runs something once and keeps its result with the phase, so that a later attempt goes on after it.
import { AsyncLocalStorage } from 'node:async_hooks';
import { LIMITS, storableJson } from '@millrace/shared';
import { PermanentError } from '@millrace/sdk';
import { asAppError, readSteps, type ClaimedPhase, type Database } from '@millrace/store';
import type { StepWriter } from './step-writer.ts';

export type PhaseSteps = {
  run<T>(name: string, fn: () => Promise<T> | T): Promise<T>;
  /** Throws PermanentError inside of a step: the step would wait for the call, and the call until no step is under way. */
  requireOutside(call: string): void;
};

export type PhaseStepsDeps = {
  database: Pick<Database, 'main'>;
  phase: ClaimedPhase;
  steps: StepWriter;
  /** Throws when the handler was told to stop at once: no further step begins, so that the next attempt finds what was kept. */
  requireGoingOn(): void;
  /** Called when the fence refused a result: the lease is lost. */
  onFenced(): void;
};

const NAME_CHARS_MAX = 200;

export function createPhaseSteps(deps: PhaseStepsDeps): PhaseSteps {
  const openKept = once(() => readKept(deps));
  const underWay = new Map<string, Promise<string>>();
  const insideOf = new AsyncLocalStorage<ReadonlySet<string>>();
  let begun = 0;
  const runOnce = async (name: string, fn: () => unknown): Promise<string> => {
    const kept = await openKept();
    const before = kept.get(name);
    if (before !== undefined) return before;
    deps.requireGoingOn();
    if (kept.count() + begun >= LIMITS.stepsMax)
      throw new PermanentError(`step "${name}" is one too many: a phase may keep the results of ${LIMITS.stepsMax} steps`);
    begun += 1;
    try {
      return await kept.keep(name, await insideOf.run(new Set(insideOf.getStore()).add(name), async () => fn()));
    } finally {
      begun -= 1;
    }
  };
  return {
    requireOutside: (call) => {
      if (insideOf.getStore() !== undefined) throw new PermanentError(`${call} cannot wait inside of a step: call it beside the step`);
    },
    run: async <T>(name: string, fn: () => Promise<T> | T): Promise<T> => {
      if (name === '' || name.length > NAME_CHARS_MAX || name.includes('\0') || !name.isWellFormed())
        throw new PermanentError(`a step's name must have 1 to ${NAME_CHARS_MAX} characters, none of them NUL`);
      if (insideOf.getStore()?.has(name) === true) throw new PermanentError(`step "${name}" is called inside itself`);
      let running = underWay.get(name);
      if (running === undefined) {
        running = runOnce(name, fn).finally(() => underWay.delete(name));
        underWay.set(name, running);
      }
      // Everyone gets a copy, and the first call what every later one will get: what JSON makes of the result.
      return JSON.parse(await running) as T;
    },
  };
}

type KeptSteps = {
  /** As JSON. */
  get(name: string): string | undefined;
  count(): number;
  /** Keeps a result and answers it as JSON. @throws PermanentError when it cannot be kept. */
  keep(name: string, result: unknown): Promise<string>;
};

async function readKept(deps: PhaseStepsDeps): Promise<KeptSteps> {
  const { database, phase } = deps;
  // The first claim of all has nothing to find.
  const known = phase.fence === 1 ? new Map<string, string>() : await readSteps(database.main, phase).catch(rethrowAsAppError);
  let totalBytes = 0;
  // PostgreSQL writes the same JSON with spaces.
  for (const text of known.values()) totalBytes += Buffer.byteLength(JSON.stringify(JSON.parse(text)));
  const requireRoom = (name: string, sizeBytes: number) => {
    if (totalBytes + sizeBytes > LIMITS.stepsBytesMax)
      throw new PermanentError(
        `the result of step "${name}" cannot be kept: with its ${sizeBytes} bytes the steps of this phase would have ${totalBytes + sizeBytes}, more than ${LIMITS.stepsBytesMax}`,
      );
  };
  return {
    get: (name) => known.get(name),
    count: () => known.size,
    keep: async (name, result) => {
      const json = storableJson(result, LIMITS.outputBytesMax);
      if (!json.ok) throw new PermanentError(`the result of step "${name}" cannot be kept: ${json.problem}`);
      const sizeBytes = Buffer.byteLength(json.text);
      requireRoom(name, sizeBytes);
      totalBytes += sizeBytes;
      try {
        await write(deps, name, json.text);
      } catch (error) {
        totalBytes -= sizeBytes;
        throw error;
      }
      known.set(name, json.text);
      return json.text;
    },
  };
}

async function write({ phase, steps, onFenced }: PhaseStepsDeps, name: string, resultJson: string): Promise<void> {
  if (await steps.save({ phaseId: phase.id, run: phase.run, fence: phase.fence, name, resultJson })) return;
  onFenced();
  throw new Error(`step "${name}" was not kept: this worker does not hold the phase any more`);
}

function rethrowAsAppError(error: unknown): never {
  throw asAppError(error);
}

// What failed is tried again by the next call.
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}
