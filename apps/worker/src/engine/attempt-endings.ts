// Writes how an attempt ended, each kind of end in its own way, and says what the queue is told and which phase comes next.
import { LIMITS, storableJson, type RetryPolicy } from '@millrace/shared';
import type { ClaimedPhase, CompletionOutcome, ContinuedPhase, PhaseCompletion } from '@millrace/store';
import type { AttemptEnd, EndingAttempt, PhaseRunnerDeps } from './attempt.ts';
import type { AttemptContext } from './context/create-context.ts';
import type { PhaseTransaction } from './context/phase-transaction.ts';
import { outcomeOfThrown, retryDelayMs, type PhaseOutcome } from './outcome.ts';

const FINISHED: AttemptEnd = { outcome: { kind: 'finished' }, next: null };
/** A phase that is interrupted again and again for this long fails an attempt, so that someone hears of it. */
const INTERRUPTED_MS_MAX = 3_600_000;

export async function writeCompleted(
  deps: PhaseRunnerDeps,
  ending: EndingAttempt,
  { output, attempt, skipped = false }: { output: unknown; attempt?: AttemptContext; skipped?: boolean },
): Promise<AttemptEnd> {
  const { running } = ending;
  const { phase } = running;
  const json = storableJson(output, LIMITS.outputBytesMax);
  if (!json.ok) {
    attempt?.rollback();
    const error = { code: 'output-invalid', message: `the result cannot be kept: ${json.problem}` };
    return writeEnd(deps, { ...ending, outcome: { kind: 'failed', error, permanent: true } });
  }
  const continues = ending.goesOn?.() === true;
  const completion = { id: phase.id, fence: phase.fence, worker: deps.workerId, outputJson: json.text, skipped, continues };
  const sentAtMs = deps.clock.monotonicMs();
  try {
    const { committed, continued } = await commit(deps, attempt, completion);
    if (!committed) running.stop('lease-lost');
    deps.onEnd({ phase, outcome: 'completed', committed });
    if (continued === null) return FINISHED;
    const next = nextPhase(phase, continued, { outputJson: json.text, skipped });
    return { outcome: FINISHED.outcome, next, nextClaimedAtMs: sentAtMs };
  } catch (error) {
    return writeEnd(deps, { ...ending, outcome: outcomeOfThrown(error, running.stopReason()) });
  }
}

type Committed = { committed: boolean; continued: ContinuedPhase | null };

function commit(deps: PhaseRunnerDeps, attempt: AttemptContext | undefined, completion: PhaseCompletion): Promise<Committed> {
  const transaction = attempt?.openTransaction();
  if (transaction !== undefined) return commitWithTransaction(deps, transaction, completion);
  // What the handler left unawaited must not open one after its end.
  attempt?.rollback();
  return deps.commits.complete(completion);
}

async function commitWithTransaction(
  deps: PhaseRunnerDeps,
  transaction: PhaseTransaction,
  completion: PhaseCompletion,
): Promise<Committed> {
  const outcome: CompletionOutcome = await transaction.commit(async (client) => {
    const result = await deps.commits.completeWithin(client, completion);
    return { commit: result.committed[0] === true, result };
  });
  const committed = outcome.committed[0] === true;
  if (committed) deps.commits.announce(outcome);
  return { committed, continued: outcome.continued[0] ?? null };
}

// The phase that goes on is of the same flow, so all but its own is known; what needs one result only gets the one at hand.
function nextPhase(phase: ClaimedPhase, continued: ContinuedPhase, own: { outputJson: string; skipped: boolean }): ClaimedPhase {
  const { startedAt, outputs } = continued;
  const ownOutputs = () => (own.skipped ? {} : { [phase.name]: JSON.parse(own.outputJson) as unknown });
  return {
    id: continued.id,
    flowId: phase.flowId,
    workspace: phase.workspace,
    flow: phase.flow,
    version: phase.version,
    run: phase.run,
    name: continued.name,
    generation: continued.generation,
    priority: continued.priority,
    fence: continued.fence,
    createdBy: phase.createdBy,
    attempt: continued.attempt,
    attemptMax: continued.attemptMax,
    crashes: 0,
    interruptedAt: null,
    input: phase.input,
    outputs: outputs === undefined ? ownOutputs() : outputs,
    startedAt: new Date(startedAt),
  };
}

export async function writeEnd(
  deps: PhaseRunnerDeps,
  { running, retry, outcome }: EndingAttempt & { outcome: PhaseOutcome },
): Promise<AttemptEnd> {
  const { phase } = running;
  switch (outcome.kind) {
    case 'failed':
      return failAttempt(deps, { phase, retry, outcome });
    case 'interrupted':
      return interruptAttempt(deps, phase, outcome);
    case 'suspended': {
      const suspension = { id: phase.id, fence: phase.fence, worker: deps.workerId, awaits: outcome.awaits };
      const committed = await deps.commits.suspend(suspension);
      deps.onEnd({ phase, outcome: outcome.kind, committed });
      return FINISHED;
    }
    case 'waiting':
      deps.onEnd({ phase, outcome: outcome.kind, committed: outcome.committed });
      return FINISHED;
    case 'abandoned':
      if (outcome.reason === 'lease-lost') giveBack(deps, phase);
      deps.onEnd({ phase, outcome: outcome.kind, committed: false });
      return FINISHED;
    case 'completed':
      deps.onEnd({ phase, outcome: outcome.kind, committed: false });
      return FINISHED;
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

/** Its own process has died under it, after others had: it is not tried again. */
export async function quarantine(deps: PhaseRunnerDeps, phase: ClaimedPhase, how: string): Promise<AttemptEnd> {
  const seen = { worker: deps.workerId, how };
  const committed = await deps.commits.quarantine({ id: phase.id, fence: phase.fence, crashes: phase.crashes, seen });
  deps.log.error({ flowId: phase.flowId, phase: phase.name, how }, 'a phase is quarantined: its process died under it again and again');
  deps.onEnd({ phase, outcome: 'failed', committed });
  return committed ? { outcome: { kind: 'failed', message: `its process died: ${how}` }, next: null } : FINISHED;
}

type FailedAttempt = { phase: ClaimedPhase; retry: RetryPolicy; outcome: PhaseOutcome & { kind: 'failed' } };

async function failAttempt(deps: PhaseRunnerDeps, { phase, retry, outcome }: FailedAttempt): Promise<AttemptEnd> {
  const { error, permanent } = outcome;
  const policyMs = retryDelayMs({ attempt: phase.attempt, attemptMax: phase.attemptMax, permanent }, retry, deps.random());
  const retryMs = policyMs === null ? null : (outcome.retryAfterMs ?? policyMs);
  const committed = await deps.commits.fail({ id: phase.id, fence: phase.fence, worker: deps.workerId, error, retryDelayMs: retryMs });
  deps.onEnd({ phase, outcome: 'failed', committed });
  if (!committed) return FINISHED;
  const { message } = error;
  return { outcome: retryMs === null ? { kind: 'failed', message } : { kind: 'retry', delayMs: retryMs, message }, next: null };
}

/** Gives a phase back at no cost. The next delivery is a new job of the next generation; this one has nothing more to do. */
export async function interruptAttempt(
  deps: PhaseRunnerDeps,
  phase: ClaimedPhase,
  { reason, delayMs }: PhaseOutcome & { kind: 'interrupted' },
): Promise<AttemptEnd> {
  // Both are PostgreSQL's times.
  const sinceMs = phase.interruptedAt === null ? 0 : phase.startedAt.getTime() - phase.interruptedAt.getTime();
  if (sinceMs > INTERRUPTED_MS_MAX && reason === 'lock-held') {
    const error = { code: 'lock-held', message: 'the lock it needs was held by others for more than an hour' };
    const retry = { attempts: phase.attemptMax, backoff: { type: 'fixed', delay: delayMs } } as const;
    return failAttempt(deps, { phase, retry, outcome: { kind: 'failed', error, permanent: false } });
  }
  const committed = await deps.commits.release({ id: phase.id, fence: phase.fence, outcome: 'interrupted', reason, delayMs });
  deps.onEnd({ phase, outcome: 'interrupted', committed });
  return FINISHED;
}
