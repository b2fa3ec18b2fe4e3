// One delivery from job to commit, as a list of steps: claim, find the code, run the handler, write how it ended, tell the queue.
import type { Clock, Logger } from '@millrace/process';
import type { DeliveryOutcome } from '@millrace/queue';
import { DEFAULT_RETRY, LIMITS, storableJson, type JobRef, type RetryPolicy } from '@millrace/shared';
import type { RunDefinition } from '@millrace/sdk';
import { asAppError, isTransient, markAlone, OUTPUTS_BYTES_MAX, readOutputs, SUSPECT_CRASHES, type ClaimedPhase } from '@millrace/store';
import { createContext, type AttemptContext, type ContextDeps } from './context/create-context.ts';
import { isIsolated, type RunIsolated } from './isolated-run.ts';
import type { Isolation } from './isolation.ts';
import { outcomeOfThrown, retryDelayMs, type PhaseOutcome } from './outcome.ts';
import type { PhaseClaims } from './phase-claims.ts';
import type { PhaseCommits } from './phase-commits.ts';
import type { PhaseDefinitions } from './phase-definitions.ts';
import { runHandler } from './run-handler.ts';
import type { RunningPhase, RunningPhases } from './running-phases.ts';

export type PhaseRunnerDeps = ContextDeps & {
  claims: PhaseClaims;
  commits: PhaseCommits;
  definitions: PhaseDefinitions;
  running: RunningPhases;
  isolation: Isolation;
  /** Runs isolated phases; absent in the process of one. */
  runIsolated?: RunIsolated;
  clock: Clock;
  log: Logger;
  workerId: string;
  /** In [0, 1), for jitter. */
  random(): number;
  onEnd(end: { phase: ClaimedPhase; outcome: PhaseOutcome['kind']; committed: boolean }): void;
};

export type PhaseRunner = { handle(job: JobRef): Promise<DeliveryOutcome> };

/** A delivery that cannot be claimed yet is looked at again after this at the latest. */
const LATER_MS_MAX = 5_000;
const LATER_MS_MIN = 100;
const UNAVAILABLE_RETRY_MS = 1_000;
const ALONE_RETRY_MS = 5_000;
const UNKNOWN_CODE_RETRY_MS = 10_000;

export function createPhaseRunner(deps: PhaseRunnerDeps): PhaseRunner {
  return {
    handle: async (job) => {
      const leave = deps.isolation.enter();
      if (leave === null) return { kind: 'later', delayMs: UNAVAILABLE_RETRY_MS * (0.5 + deps.random()) };
      const claimedAtMs = deps.clock.monotonicMs();
      try {
        const claim = await deps.claims.claim(job);
        if (claim.kind === 'stale') return { kind: 'finished' };
        if (claim.kind === 'not-yet') return { kind: 'later', delayMs: Math.min(LATER_MS_MAX, Math.max(LATER_MS_MIN, claim.untilMs)) };
        return await runClaimed(deps, claim.phase, claimedAtMs);
      } catch (error) {
        // Nothing was lost: what was claimed ends with its lease, and this delivery comes again.
        if (!isTransient(error)) throw error;
        deps.log.debug({ err: error }, 'a delivery could not be worked on now');
        return { kind: 'later', delayMs: UNAVAILABLE_RETRY_MS * (0.5 + deps.random()) };
      } finally {
        deps.claims.unlock(job.id);
        leave();
      }
    },
  };
}

async function runClaimed(deps: PhaseRunnerDeps, phase: ClaimedPhase, claimedAtMs: number): Promise<DeliveryOutcome> {
  const running = deps.running.add(phase, claimedAtMs);
  try {
    const found = findDefinition(deps, phase);
    if (found.kind === 'unknown') return await writeInterrupted(deps, phase, { reason: found.reason, delayMs: UNKNOWN_CODE_RETRY_MS });
    if (found.kind === 'broken') return await writeEnd(deps, { running, retry: DEFAULT_RETRY, outcome: found.outcome });
    return phase.crashes < SUSPECT_CRASHES ? await runFound(deps, running, found) : await runSuspect(deps, running, found);
  } finally {
    deps.running.remove(running);
  }
}

type Found = { kind: 'found'; definition: RunDefinition; input: unknown };

// The input was valid when the flow was accepted; that it is not any more means that the definition changed without a new version.
function findDefinition(
  deps: PhaseRunnerDeps,
  phase: ClaimedPhase,
): Found | { kind: 'unknown'; reason: string } | { kind: 'broken'; outcome: PhaseOutcome } {
  try {
    return deps.definitions.find(phase);
  } catch (error) {
    return { kind: 'broken', outcome: outcomeOfThrown(error, undefined) };
  }
}

async function runFound(deps: PhaseRunnerDeps, running: RunningPhase, found: Found): Promise<DeliveryOutcome> {
  const retry: RetryPolicy = { attempts: running.phase.attemptMax, backoff: found.definition.retry?.backoff ?? DEFAULT_RETRY.backoff };
  if (deps.runIsolated !== undefined && isIsolated(found.definition)) {
    const end = await deps.runIsolated(running, found.definition);
    if (end.kind === 'gone') return writeEnd(deps, { running, retry, outcome: end.outcome });
    deps.onEnd({ phase: running.phase, outcome: end.outcome, committed: end.committed });
    return end.delivery;
  }
  const needed = await neededOutputs(deps, running.phase);
  if (needed.kind !== 'read') return writeEnd(deps, { running, retry: DEFAULT_RETRY, outcome: needed });
  const attempt = createContext(deps, running, { input: found.input, outputs: needed.outputs });
  const outcome = await runHandler(running, withPhaseLock(found), attempt.ctx);
  return finishAttempt(deps, { running, attempt, retry, outcome });
}

// Processes have died while this phase ran in them. It may be innocent: it gets another try with nothing beside it, which will show.
async function runSuspect(deps: PhaseRunnerDeps, running: RunningPhase, found: Found): Promise<DeliveryOutcome> {
  const { phase } = running;
  const ended = await deps.isolation.runAlone(async () => {
    await markAlone(deps.database.main, phase);
    return runFound(deps, running, found);
  });
  return ended === 'busy' ? writeInterrupted(deps, phase, { reason: 'must-run-alone', delayMs: ALONE_RETRY_MS }) : ended;
}

// Small results came with the claim; large ones are read for the one phase that needs them.
async function neededOutputs(
  deps: PhaseRunnerDeps,
  phase: ClaimedPhase,
): Promise<{ kind: 'read'; outputs: Record<string, unknown> } | PhaseOutcome> {
  if (phase.outputs !== null) return { kind: 'read', outputs: phase.outputs };
  try {
    const read = await readOutputs(deps.database.main, phase.id);
    if (read.kind === 'read') return read;
    const message = `the results of the phases it needs have ${read.sizeBytes} bytes together, more than ${OUTPUTS_BYTES_MAX}: hand on references instead of contents`;
    return { kind: 'failed', error: { code: 'outputs-too-large', message }, permanent: true };
  } catch (error) {
    return outcomeOfThrown(asAppError(error), undefined);
  }
}

// A phase that names a lock runs inside it; one try, since it goes back to the queue rather than wait here with a slot.
function withPhaseLock({ definition, input }: Found): RunDefinition {
  const { lock } = definition;
  if (lock === undefined) return definition;
  return { ...definition, run: (ctx) => ctx.lock(lock({ input }), () => definition.run(ctx), { tries: 1 }) };
}

type Attempt = { running: RunningPhase; attempt: AttemptContext; retry: RetryPolicy; outcome: PhaseOutcome };

async function finishAttempt(deps: PhaseRunnerDeps, { running, attempt, retry, outcome }: Attempt): Promise<DeliveryOutcome> {
  if (outcome.kind === 'completed') {
    await attempt.flush();
    return writeCompleted(deps, { running, attempt, retry, outcome });
  }
  attempt.transaction.rollback();
  if (outcome.kind === 'abandoned') attempt.abandon();
  else await attempt.flush();
  return writeEnd(deps, { running, retry, outcome });
}

async function writeCompleted(
  deps: PhaseRunnerDeps,
  { running, attempt, retry, outcome }: Attempt & { outcome: { kind: 'completed'; output: unknown } },
): Promise<DeliveryOutcome> {
  const { phase } = running;
  const output = storableJson(outcome.output, LIMITS.outputBytesMax);
  if (!output.ok) {
    attempt.transaction.rollback();
    const error = { code: 'output-invalid', message: `the result cannot be kept: ${output.problem}` };
    return writeEnd(deps, { running, retry, outcome: { kind: 'failed', error, permanent: true } });
  }
  const completion = { id: phase.id, fence: phase.fence, worker: deps.workerId, outputJson: output.text };
  try {
    const isOpen = attempt.transaction.isOpen();
    // What the handler left unawaited must not open one after its end.
    if (!isOpen) attempt.transaction.rollback();
    const committed = isOpen ? await commitWithTransaction(deps, attempt, completion) : await deps.commits.complete(completion);
    if (!committed) running.stop('lease-lost');
    deps.onEnd({ phase, outcome: 'completed', committed });
    return { kind: 'finished' };
  } catch (error) {
    return writeEnd(deps, { running, retry, outcome: outcomeOfThrown(error, running.stopReason()) });
  }
}

async function commitWithTransaction(
  deps: PhaseRunnerDeps,
  attempt: AttemptContext,
  completion: { id: string; fence: number; worker: string; outputJson: string },
): Promise<boolean> {
  const outcome = await attempt.transaction.commit(async (client) => {
    const result = await deps.commits.completeWithin(client, completion);
    return { commit: result.committed[0] === true, result };
  });
  const committed = outcome.committed[0] === true;
  if (committed) deps.commits.announce(outcome);
  return committed;
}

async function writeEnd(
  deps: PhaseRunnerDeps,
  { running, retry, outcome }: { running: RunningPhase; retry: RetryPolicy; outcome: PhaseOutcome },
): Promise<DeliveryOutcome> {
  switch (outcome.kind) {
    case 'failed':
      return writeFailed(deps, { phase: running.phase, retry, outcome });
    case 'interrupted':
      return writeInterrupted(deps, running.phase, outcome);
    case 'abandoned':
      if (outcome.reason === 'lease-lost') giveBack(deps, running.phase);
      deps.onEnd({ phase: running.phase, outcome: outcome.kind, committed: false });
      return { kind: 'finished' };
    case 'completed':
      deps.onEnd({ phase: running.phase, outcome: outcome.kind, committed: false });
      return { kind: 'finished' };
  }
}

// Not trusted any more is not yet taken over: when nobody has, the phase goes back as interrupted rather than count as a crash later.
// The fence refuses it when someone has.
function giveBack(deps: PhaseRunnerDeps, phase: ClaimedPhase): void {
  deps.commits
    .release({ id: phase.id, fence: phase.fence, outcome: 'interrupted', reason: 'lease-lost', delayMs: 0 })
    .catch((error: unknown) => {
      deps.log.debug({ err: error, flowId: phase.flowId }, 'a phase was not given back and will be found by its lease');
    });
}

async function writeFailed(
  deps: PhaseRunnerDeps,
  { phase, retry, outcome }: { phase: ClaimedPhase; retry: RetryPolicy; outcome: PhaseOutcome & { kind: 'failed' } },
): Promise<DeliveryOutcome> {
  const delayMs = retryDelayMs(
    { attempt: phase.attempt, attemptMax: phase.attemptMax, permanent: outcome.permanent },
    retry,
    deps.random(),
  );
  const committed = await deps.commits.fail({
    id: phase.id,
    fence: phase.fence,
    worker: deps.workerId,
    error: outcome.error,
    retryDelayMs: delayMs,
  });
  deps.onEnd({ phase, outcome: 'failed', committed });
  if (!committed) return { kind: 'finished' };
  return delayMs === null ? { kind: 'failed', message: outcome.error.message } : { kind: 'retry', delayMs, message: outcome.error.message };
}

// The next delivery is a new job of the next generation; this one has nothing more to do.
async function writeInterrupted(
  deps: PhaseRunnerDeps,
  phase: ClaimedPhase,
  { reason, delayMs }: { reason: string; delayMs: number },
): Promise<DeliveryOutcome> {
  const committed = await deps.commits.release({ id: phase.id, fence: phase.fence, outcome: 'interrupted', reason, delayMs });
  deps.onEnd({ phase, outcome: 'interrupted', committed });
  return { kind: 'finished' };
}
