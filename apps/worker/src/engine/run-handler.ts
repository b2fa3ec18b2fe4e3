// Runs a handler within its time limits. In one process nobody can be killed, so whoever does not stop in time is left behind:
// his slot is free again, and the fence refuses what he commits later.
import type { PhaseContext, RunDefinition } from '@millrace/sdk';
import type { Awaits } from '@millrace/store';
import { outcomeOfThrown, timeoutError, type PhaseOutcome, type StopReason } from './outcome.ts';
import type { RunningPhase } from './running-phases.ts';
import { STOP_GRACE_MS, timeLimits } from './time-limits.ts';

/** Calls the handler and answers how the attempt ended. Never rejects. */
export async function runHandler(
  running: RunningPhase,
  definition: RunDefinition,
  { ctx, suspended }: { ctx: PhaseContext; suspended: Promise<Awaits> },
): Promise<PhaseOutcome> {
  const limits = timeLimits(definition);
  const leftBehind = Promise.withResolvers<PhaseOutcome>();
  const timers = [
    setTimeout(() => {
      running.stop('soft-timeout');
    }, limits.softMs),
    setTimeout(() => {
      running.leave('fenced');
      leftBehind.resolve({ kind: 'failed', error: timeoutError('hard-timeout'), permanent: false });
    }, limits.hardMs),
  ];
  void running.stopped.then((reason) => {
    timers.push(
      setTimeout(() => {
        running.leave('fenced');
        leftBehind.resolve(outcomeOfThrown(undefined, reason));
      }, STOP_GRACE_MS),
    );
  });
  try {
    const waits = suspended.then((awaits): PhaseOutcome => {
      const reason = running.stopReason();
      return reason === undefined ? { kind: 'suspended', awaits } : outcomeOfThrown(undefined, reason);
    });
    return await Promise.race([settle(running, definition, ctx), leftBehind.promise, waits]);
  } finally {
    for (const timer of timers) clearTimeout(timer);
  }
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
