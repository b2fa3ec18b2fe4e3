// Runs attempts in processes of their own: so many at a time, each killed with all it started when its time is over. The worker keeps the
// lease and the lock and decides when to stop; the process runs the handler and commits, under the worker's name and fence.
import type { Logger, Service } from '@millrace/process';
import type { Dispatch, QueueName } from '@millrace/shared';
import type { RunDefinition } from '@millrace/sdk';
import type { IsolatedEnd, RunIsolated } from '../engine/isolated-run.ts';
import { outcomeOfThrown, timeoutError, type PhaseOutcome } from '../engine/outcome.ts';
import type { RunningPhase } from '../engine/running-phases.ts';
import { STOP_GRACE_MS, timeLimits, type TimeLimits } from '../engine/time-limits.ts';
import type { Freed } from './messages.ts';
import { startPhaseProcess, type Death, type PhaseProcess } from './phase-process.ts';
import { createSlots } from './slots.ts';

export type IsolatedPhases = Service & {
  readonly run: RunIsolated;
  /** Processes that run now. */
  count(): number;
};

export type IsolatedPhasesDeps = {
  workerId: string;
  /** Processes at a time. */
  concurrency: number;
  dispatch(queue: QueueName, dispatches: readonly Dispatch[]): void;
  onFreed(freed: Freed): void;
  log: Logger;
};

/** A phase without a place in this time goes back to the queue: it holds one of the worker's places for other phases. */
const SLOT_WAIT_MS = 2_000;
const SLOT_RETRY_MS = 2_000;
const NO_PROCESS_RETRY_MS = 5_000;
/** From the fork to the handler: loading all flow definitions. */
const START_MS = 30_000;

export function createIsolatedPhases(deps: IsolatedPhasesDeps): IsolatedPhases {
  const slots = createSlots(deps.concurrency);
  const living = new Set<PhaseProcess>();
  const begin = (running: RunningPhase, definition: RunDefinition): PhaseProcess | undefined => {
    const log = logOf(deps.log, running);
    try {
      return startPhaseProcess({ memoryMb: memoryOf(definition), log, worker: deps });
    } catch (error) {
      log.error({ err: error }, 'a process for an isolated phase could not be started');
      return undefined;
    }
  };
  const run: RunIsolated = async (running, definition) => {
    const limits = timeLimits(definition);
    const leave = await slots.take({
      timeoutMs: SLOT_WAIT_MS,
      until: new Promise((resolve) => {
        running.whenStopped(resolve);
      }),
    });
    const stopped = running.stopReason();
    if (leave === null || stopped !== undefined) {
      leave?.();
      return {
        kind: 'gone',
        outcome: stopped === undefined ? later('isolation-full', SLOT_RETRY_MS) : outcomeOfThrown(undefined, stopped),
      };
    }
    const child = begin(running, definition);
    if (child === undefined) {
      leave();
      return { kind: 'gone', outcome: later('no-process', NO_PROCESS_RETRY_MS) };
    }
    living.add(child);
    void child.gone.then(() => {
      living.delete(child);
      leave();
    });
    return attend(deps, { running, limits, child });
  };
  return {
    name: 'isolated-phases',
    run,
    count: slots.takenCount,
    start: () => Promise.resolve(),
    stop: async () => {
      for (const child of living) child.kill();
      await Promise.all([...living].map((child) => child.end));
    },
  };
}

type Attended = { running: RunningPhase; limits: TimeLimits; child: PhaseProcess };

/** Hands over the phase, passes on reasons to stop, and sees to it that there is an end in time. */
async function attend(deps: IsolatedPhasesDeps, { running, limits, child }: Attended): Promise<IsolatedEnd> {
  let killed: Killed | undefined;
  const kill = (why: Killed) => () => {
    killed ??= why;
    child.kill();
  };
  const startTimer = setTimeout(kill('late-start'), START_MS);
  const timers = [startTimer];
  void child.started.then(() => {
    clearTimeout(startTimer);
    timers.push(setTimeout(kill('hard-timeout'), limits.hardMs));
  });
  running.whenStopped((reason) => {
    child.send({ type: 'stop', reason });
    timers.push(setTimeout(kill('grace'), STOP_GRACE_MS));
  });
  child.send({ type: 'run', phase: running.phase, workerId: deps.workerId });
  try {
    const end = await child.end;
    if ('type' in end) return { kind: 'reported', outcome: end.outcome, committed: end.committed, delivery: end.delivery };
    if (killed !== undefined) running.leave('killed');
    return { kind: 'gone', outcome: outcomeOfDeath(end, killed, running), ...crashOf(end, killed, running) };
  } finally {
    for (const timer of timers) clearTimeout(timer);
  }
}

/** Why the worker ended a process: no end after it was told to stop, none by the hard limit, no beginning. */
type Killed = 'grace' | 'hard-timeout' | 'late-start';

function outcomeOfDeath(death: Death, killed: Killed | undefined, running: RunningPhase): PhaseOutcome {
  if (killed === 'hard-timeout') return { kind: 'failed', error: timeoutError('hard-timeout'), permanent: false };
  const stopped = running.stopReason();
  if (stopped !== undefined) return outcomeOfThrown(undefined, stopped);
  // A machine that is too busy to start a process says nothing about the handler.
  if (!death.wasBorn || killed === 'late-start') return later('no-process', NO_PROCESS_RETRY_MS);
  return outcomeOfThrown(new ProcessExited(describe(death)), undefined);
}

function crashOf(death: Death, killed: Killed | undefined, running: RunningPhase): { crash?: string } {
  const isItsOwn = death.hasBegun && killed === undefined && running.stopReason() === undefined;
  return isItsOwn ? { crash: describe(death) } : {};
}

/** The process ended before the phase did. Costs an attempt, whatever was the reason: it may be the handler's own doing, and mostly is. */
class ProcessExited extends Error {
  readonly code = 'process-exited';
  constructor(how: string) {
    super(`the process of the phase ended before the phase did: ${how}`);
    // Where this was found out says nothing about where it happened.
    this.stack = '';
  }
}

function describe({ code, signal, fault, outOfMemory }: Death): string {
  const how = signal === null ? `exit code ${code ?? 'unknown'}` : `signal ${signal}`;
  return `${how}${outOfMemory ? ' (JavaScript heap out of memory)' : fault === undefined ? '' : ` (${fault})`}`;
}

function later(reason: string, delayMs: number): PhaseOutcome {
  return { kind: 'interrupted', reason, delayMs: Math.round(delayMs * (0.5 + Math.random())) };
}

function memoryOf({ isolate }: RunDefinition): number | undefined {
  return typeof isolate === 'object' ? isolate.memoryMb : undefined;
}

function logOf(log: Logger, { phase }: RunningPhase): Logger {
  return log.child({ flowId: phase.flowId, phase: phase.name, attempt: phase.attempt });
}
