// ctx.sleep and ctx.waitFor. Both remember in a step when their time is over, so that a handler that runs again waits for the rest only.
// PostgreSQL wakes them, so its clock decides here too: by another one, a handler that was woken might find that its time is not over.
import { durationMs, LIMITS, type Duration } from '@millrace/shared';
import { PermanentError, SignalTimeout } from '@millrace/sdk';
import { asAppError, readServerTime, readSignal, type ClaimedPhase, type Database } from '@millrace/store';
import type { PhaseSteps } from './phase-steps.ts';
import type { Suspension } from './suspension.ts';

export type PhaseWaits = {
  sleep(duration: Duration): Promise<void>;
  waitFor<T>(signal: string, options?: { timeout?: Duration }): Promise<T>;
};

type WaitsDeps = { database: Database; phase: ClaimedPhase; steps: PhaseSteps; suspension: Suspension };

const SIGNAL_PATTERN = /^[A-Za-z][A-Za-z0-9_.-]{0,99}$/;

export function createPhaseWaits({ database, phase, steps, suspension }: WaitsDeps): PhaseWaits {
  let sleeps = 0;
  const beganAtMs = performance.now();
  // PostgreSQL's time was at least this when the phase was claimed, and has gone on since.
  const isOver = (until: Date) => until.getTime() <= phase.startedAt.getTime() + (performance.now() - beganAtMs);
  // The end of a wait, the same in every attempt and every time the handler runs.
  const endOf = async (name: string, duration: Duration): Promise<Date> => {
    const ms = durationMs(duration);
    if (ms > LIMITS.timerMsMax) throw new PermanentError('a wait may last 24 days at most');
    return new Date(await steps.run(name, async () => new Date((await serverTime(database)).getTime() + ms).toISOString()));
  };
  return {
    sleep: async (duration) => {
      steps.requireOutside('ctx.sleep');
      sleeps += 1;
      const until = await endOf(`ctx.sleep ${sleeps}`, duration);
      if (!isOver(until)) await suspension.wait({ until });
    },
    waitFor: async <T>(signal: string, options: { timeout?: Duration } = {}): Promise<T> => {
      steps.requireOutside('ctx.waitFor');
      if (!SIGNAL_PATTERN.test(signal)) throw new PermanentError('a signal is named like a phase');
      const until = options.timeout === undefined ? undefined : await endOf(`ctx.waitFor ${signal}`, options.timeout);
      const found = await suspension.track(() =>
        readSignal(database.main, { flowId: phase.flowId, run: phase.run, name: signal }).catch((error: unknown) => {
          throw asAppError(error);
        }),
      );
      // What was sent is what its sender and this handler have agreed on.
      if (found !== undefined) return found.body as T;
      if (until !== undefined && isOver(until)) throw new SignalTimeout(signal);
      return suspension.wait({ signal, ...(until === undefined ? {} : { until }) });
    },
  };
}

async function serverTime({ main }: Database): Promise<Date> {
  try {
    return await readServerTime(main);
  } catch (error) {
    throw asAppError(error);
  }
}
