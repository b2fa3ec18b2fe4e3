// Runs a handler within its time limits. In one process nobody can be killed, so whoever does not stop in time is left behind:
// his slot is free again, and the fence refuses what he commits later.
import type { PhaseContext, RunDefinition } from '@millrace/sdk';
import type { AttemptContext } from './context/create-context.ts';
import { outcomeOfThrown, timeoutError, type PhaseOutcome, type StopReason } from './outcome.ts';
import type { RunningPhase } from './running-phases.ts';
import { STOP_GRACE_MS, timeLimits } from './time-limits.ts';

/** Calls the handler and answers how the attempt ended. Rejects only for time limits that make no sense. */
export function runHandler(
  running: RunningPhase,
  definition: RunDefinition,
  { ctx, attempt }: { ctx: PhaseContext; attempt: Pick<AttemptContext, 'whenSuspended'> },
): Promise<PhaseOutcome> {
  return new Promise((resolve) => {
    const limits = timeLimits(definition);
    let hasEnded = false;
    let graceTimer: NodeJS.Timeout | undefined;
    const end = (outcome: PhaseOutcome) => {
      hasEnded = true;
      clearTimeout(limitTimer);
      clearTimeout(graceTimer);
      resolve(outcome);
    };
    const leaveBehind = (outcome: PhaseOutcome) => {
      running.leave('fenced');
      end(outcome);
    };
    // One timer for both limits: hundreds of attempts have theirs at a time.
    let limitTimer = setTimeout(() => {
      limitTimer = setTimeout(() => {
        leaveBehind({ kind: 'failed', error: timeoutError('hard-timeout'), permanent: false });
      }, limits.hardMs - limits.softMs);
      running.stop('soft-timeout');
    }, limits.softMs);
    running.whenStopped((reason) => {
      if (hasEnded) return;
      graceTimer = setTimeout(() => {
        leaveBehind(outcomeOfThrown(undefined, reason));
      }, STOP_GRACE_MS);
    });
    attempt.whenSuspended((awaits) => {
      const reason = running.stopReason();
      end(reason === undefined ? { kind: 'suspended', awaits } : outcomeOfThrown(undefined, reason));
    });
    void settle(running, definition, ctx).then(end);
  });
}

async function settle(running: RunningPhase, definition: RunDefinition, ctx: PhaseContext): Promise<PhaseOutcome> {
  try {
    const output = await definition.run(ctx);
    const stopped: StopReason | undefined = running.stopReason();
    // A result that came in spite of the signal counts, unless someone else decides about the phase by now.
    if (stopped === 'cancelled' || stopped === 'lease-lost') return { kind: 'abandoned', reason: stopped };
    return { kind: 'completed', output };
  } catch (error) {
    return outcomeOfThrown(error, running.stopReason());
  }
}
