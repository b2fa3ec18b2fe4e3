// ctx.step: runs something once and keeps its result with the phase, so that a later attempt goes on after it.
import { LIMITS, storableJson } from '@millrace/shared';
import { PermanentError } from '@millrace/sdk';
import { asAppError, readSteps, saveStep, type ClaimedPhase, type Database } from '@millrace/store';

export type PhaseSteps = { run<T>(name: string, fn: () => Promise<T> | T): Promise<T> };

const NAME_CHARS_MAX = 200;

/** @param onFenced called when the fence refused a result: the lease is lost. */
export function createPhaseSteps({
  database,
  phase,
  onFenced,
}: {
  database: Database;
  phase: ClaimedPhase;
  onFenced: () => void;
}): PhaseSteps {
  let kept: Promise<Map<string, unknown>> | undefined;
  return {
    run: async <T>(name: string, fn: () => Promise<T> | T): Promise<T> => {
      if (name === '' || name.length > NAME_CHARS_MAX || name.includes('\0') || !name.isWellFormed()) {
        throw new PermanentError(`a step's name must have 1 to ${NAME_CHARS_MAX} characters, none of them NUL`);
      }
      kept ??= readSteps(database.main, { id: phase.id, run: phase.run }).catch((error: unknown) => {
        throw asAppError(error);
      });
      const known = await kept;
      // What was kept under this name is what this same code returned before.
      if (known.has(name)) return known.get(name) as T;
      const result = await fn();
      const json = storableJson(result, LIMITS.outputBytesMax);
      if (!json.ok) throw new PermanentError(`the result of step "${name}" cannot be kept: ${json.problem}`);
      await keep({ database, phase, onFenced }, name, json.text);
      known.set(name, JSON.parse(json.text));
      return result;
    },
  };
}

async function keep(
  deps: { database: Database; phase: ClaimedPhase; onFenced: () => void },
  name: string,
  resultJson: string,
): Promise<void> {
  const { phase } = deps;
  const saved = await saveStep(deps.database.main, { phaseId: phase.id, run: phase.run, fence: phase.fence, name, resultJson }).catch(
    (error: unknown) => {
      throw asAppError(error);
    },
  );
  if (saved) return;
  deps.onFenced();
  throw new Error(`step "${name}" was not kept: this worker does not hold the phase any more`);
}
