// One attempt at a claimed phase: finds the code, asks its condition, runs the handler, and has written how it ended.
import { deepFreeze, DEFAULT_RETRY, type RetryPolicy } from '@millrace/shared';
import { PermanentError, type RunDefinition } from '@millrace/sdk';
import { asAppError, markAlone, OUTPUTS_BYTES_MAX, readOutputs, SUSPECT_CRASHES, type ClaimedPhase } from '@millrace/store';
import type { Attempt, AttemptEnd, EndingAttempt, PhaseRunnerDeps } from './attempt.ts';
import { interruptAttempt, quarantine, writeCompleted, writeEnd } from './attempt-endings.ts';
import { createContext, type AttemptContext } from './context/create-context.ts';
import { isIsolated, type RunIsolated } from './isolated-run.ts';
import { outcomeOfThrown, type PhaseOutcome } from './outcome.ts';
import type { FoundPhase } from './phase-definitions.ts';
import { runHandler } from './run-handler.ts';
import type { RunningPhase } from './running-phases.ts';

/** The flow is known in this version, and still its phase is not: whoever has the right code may be another worker. */
const UNKNOWN_CODE_RETRY_MS = 10_000;

export async function runAttempt(deps: PhaseRunnerDeps, attempt: Attempt): Promise<AttemptEnd> {
  const { phase } = attempt;
  const running = deps.running.add(phase, attempt);
  try {
    const found = findDefinition(deps, phase);
    if (found.kind === 'unknown')
      return await interruptAttempt(deps, phase, { kind: 'interrupted', reason: found.reason, delayMs: UNKNOWN_CODE_RETRY_MS });
    if (found.kind === 'broken') return await writeEnd(deps, { running, retry: DEFAULT_RETRY, outcome: found.outcome });
    return await runFound(deps, { running, found, goesOn: attempt.goesOn });
  } finally {
    deps.running.remove(running);
  }
}

type Found = FoundPhase & { kind: 'found' };
type StartedAttempt = { running: RunningPhase; found: Found; goesOn(): boolean };

// The input was valid when the flow was accepted; that it is not any more means that the definition changed without a new version.
function findDefinition(deps: PhaseRunnerDeps, phase: ClaimedPhase): FoundPhase | { kind: 'broken'; outcome: PhaseOutcome } {
  try {
    return deps.definitions.find(phase);
  } catch (error) {
    return { kind: 'broken', outcome: outcomeOfThrown(error, undefined) };
  }
}

async function runFound(deps: PhaseRunnerDeps, { running, found, goesOn }: StartedAttempt): Promise<AttemptEnd> {
  const runsElsewhere = isIsolated(found.definition) || isSuspect(running.phase);
  if (deps.runIsolated !== undefined && runsElsewhere) return runElsewhere(deps, deps.runIsolated, { running, found });
  // Small results came with the claim; large ones are read for the one phase that needs them.
  const own = running.phase.outputs;
  const needed = own === null ? await readNeeded(deps, running.phase) : { kind: 'read' as const, outputs: own };
  if (needed.kind !== 'read') return writeEnd(deps, { running, retry: DEFAULT_RETRY, outcome: needed });
  // A condition must not change what the handler gets, nor a handler what it will find changed or not when it is tried again.
  const facts = { input: found.input, outputs: deepFreeze(needed.outputs) };
  const retry = retryOf(running.phase, found);
  const wanted = isWanted(found, facts);
  if (wanted !== true) return endUnwanted(deps, { running, retry, goesOn }, wanted);
  const context = createContext(deps, running, facts);
  const { attempt } = context;
  const outcome = await runHandler(running, withPhaseLock(found), context);
  if (outcome.kind !== 'completed') return endUncompleted(deps, { running, retry, goesOn, outcome }, attempt);
  const flushing = attempt.flush();
  if (flushing !== undefined) await flushing;
  return writeCompleted(deps, { running, retry, goesOn }, { output: outcome.output, attempt });
}

// The process writes the end itself; what is left to write is the end of an attempt whose process is gone.
async function runElsewhere(
  deps: PhaseRunnerDeps,
  runIsolated: RunIsolated,
  { running, found }: Pick<StartedAttempt, 'running' | 'found'>,
): Promise<AttemptEnd> {
  const { phase } = running;
  if (isSuspect(phase)) await markAlone(deps.database.main, phase);
  const end = await runIsolated(running, found.definition);
  if (end.kind === 'gone' && end.crash !== undefined && !isIsolated(found.definition)) return quarantine(deps, phase, end.crash);
  if (end.kind === 'gone') return writeEnd(deps, { running, retry: retryOf(phase, found), outcome: end.outcome });
  deps.onEnd({ phase, outcome: end.outcome, committed: end.committed });
  return { outcome: end.delivery, next: null };
}

function retryOf(phase: ClaimedPhase, { definition }: Found): RetryPolicy {
  return { attempts: phase.attemptMax, backoff: definition.retry?.backoff ?? DEFAULT_RETRY.backoff };
}

// Processes have died while this phase ran in them. It may be innocent: a process of its own will show, and costs nobody else anything.
function isSuspect(phase: ClaimedPhase): boolean {
  return phase.crashes >= SUSPECT_CRASHES;
}

async function readNeeded(
  deps: PhaseRunnerDeps,
  phase: ClaimedPhase,
): Promise<{ kind: 'read'; outputs: Record<string, unknown> } | PhaseOutcome> {
  try {
    const read = await readOutputs(deps.database.main, phase.id);
    if (read.kind === 'read') return read;
    const message = `the results of the phases it needs have ${read.sizeBytes} bytes together, more than ${OUTPUTS_BYTES_MAX}: hand on references instead of contents`;
    return { kind: 'failed', error: { code: 'outputs-too-large', message }, permanent: true };
  } catch (error) {
    return outcomeOfThrown(asAppError(error), undefined);
  }
}

// A condition that throws fails the attempt like its handler would. A promise would always count as true.
function isWanted({ definition }: Found, facts: { input: unknown; outputs: Record<string, unknown> }): true | PhaseOutcome {
  if (definition.when === undefined) return true;
  try {
    const wanted: unknown = definition.when(facts);
    if (typeof wanted !== 'boolean') throw new PermanentError('when must answer true or false, and at once');
    return wanted ? true : { kind: 'completed', output: null };
  } catch (error) {
    return outcomeOfThrown(error, undefined);
  }
}

function endUnwanted(deps: PhaseRunnerDeps, ending: EndingAttempt, outcome: PhaseOutcome): Promise<AttemptEnd> {
  if (outcome.kind !== 'completed') return writeEnd(deps, { ...ending, outcome });
  return writeCompleted(deps, ending, { output: null, skipped: true });
}

// A phase that names a lock runs inside it; one try, since it goes back to the queue rather than wait here with a slot.
function withPhaseLock({ definition, input }: Found): RunDefinition {
  const { lock } = definition;
  if (lock === undefined) return definition;
  return { ...definition, run: (ctx) => ctx.lock(lock({ input }), () => definition.run(ctx), { tries: 1 }) };
}

async function endUncompleted(
  deps: PhaseRunnerDeps,
  ending: EndingAttempt & { outcome: PhaseOutcome },
  attempt: AttemptContext,
): Promise<AttemptEnd> {
  attempt.rollback();
  // However it ended: a handler that waits from now on is left where it is, and must not keep what it holds.
  attempt.whenSuspended(() => {
    attempt.leave();
  });
  if (ending.outcome.kind === 'abandoned') attempt.abandon();
  else await attempt.flush();
  return writeEnd(deps, ending);
}
