// Puts the parts of the flow engine together: everything that is needed to run phases, and how it stops.
import { setTimeout as delay } from 'node:timers/promises';
import { withTimeout, type Clock, type Logger, type Loop } from '@millrace/process';
import { createJobConsumer, type JobConsumer, type QueueConnectionOptions } from '@millrace/queue';
import type { Keys, Locks, UpdatePublisher } from '@millrace/redis';
import type { Dispatch } from '@millrace/shared';
import type { FlowPlanner, FlowRegistry } from '@millrace/sdk';
import type { Database } from '@millrace/store';
import { createCancelReceipts } from './cancel-receipts.ts';
import { createContextServices } from './context/context-services.ts';
import type { ContextDeps } from './context/create-context.ts';
import type { EventPublisher } from './event-publisher.ts';
import { createDirectDeliveries, type DirectDeliveries } from './direct-deliveries.ts';
import { createHttpPhases, type HttpSettings } from './http/http-phases.ts';
import type { RunIsolated } from './isolated-run.ts';
import { createLeaseKeeper } from './lease-keeper.ts';
import { createPhaseClaims } from './phase-claims.ts';
import { createPhaseCommits } from './phase-commits.ts';
import { createPhaseDefinitions } from './phase-definitions.ts';
import type { PhaseRunnerDeps } from './attempt.ts';
import { createPhaseRunner } from './phase-runner.ts';
import { createRunningPhases, type RunningPhases } from './running-phases.ts';

export type FlowEngineDeps = {
  database: Database;
  locks: Locks;
  keys: Keys;
  updates: UpdatePublisher;
  publisher: EventPublisher;
  registry: FlowRegistry;
  planner: FlowPlanner;
  dispatch(dispatches: readonly Dispatch[]): void;
  onFreed(freed: { children: boolean; admissions: boolean }): void;
  openImported: ContextDeps['openImported'];
  imports: ContextDeps['imports'];
  /** Without it, isolated phases run in this process like all others. */
  runIsolated?: RunIsolated;
  http: HttpSettings;
  clock: Clock;
  log: Logger;
  workerId: string;
  concurrency: number;
  queue: QueueConnectionOptions & { prefix: string };
  onEnd: PhaseRunnerDeps['onEnd'];
  onPass(pass: { loop: string; durationMs: number; failed: boolean }): void;
};

export type FlowEngine = {
  readonly running: RunningPhases;
  readonly consumer: JobConsumer;
  readonly direct: DirectDeliveries;
  readonly leaseKeeper: Loop;
  /**
   * Ends all work by the deadline at no cost of attempts: takes nothing new, lets what runs finish for the first half, then aborts
   * the signals, and at last gives back what still runs.
   */
  drain(deadlineMs: number): Promise<void>;
};

/** A PostgreSQL lease; renewed every third of it. With the reconciler's second a killed worker's phase runs again within 11 s. */
export const LEASE_MS = 10_000;
const DRAIN_CHECK_MS = 20;
/** Kept back from the deadline for giving phases back and sending what is buffered. */
const RELEASE_RESERVE_MS = 1_500;

export function createFlowEngine(deps: FlowEngineDeps): FlowEngine {
  const receipts = createCancelReceipts(deps);
  const running: RunningPhases = createRunningPhases({
    ...receipts,
    nowMs: deps.clock.monotonicMs,
    onDoubt: () => leaseKeeper.wake(),
  });
  const claims = createPhaseClaims({ ...deps, leaseMs: LEASE_MS });
  const commits = createPhaseCommits({ ...deps, leaseMs: LEASE_MS });
  const services = createContextServices(deps);
  const runner = createPhaseRunner({
    ...deps,
    claims,
    commits,
    running,
    services,
    definitions: createPhaseDefinitions(deps.registry, createHttpPhases({ ...deps, commits })),
    random: Math.random,
    onEnd: (end) => {
      if (!end.committed) running.refused(end.phase);
      deps.onEnd(end);
    },
  });
  const consumer = createJobConsumer({ ...deps.queue, queue: 'flow-phase', concurrency: deps.concurrency, handle: runner.handle });
  const direct = createDirectDeliveries({ ...deps, queuedCount: consumer.activeCount, deliver: runner.handleDirectly });
  const leaseKeeper = createLeaseKeeper({ ...deps, lockOf: claims.lockOf, running, leaseMs: LEASE_MS });
  const idleWithin = async (timeoutMs: number) => {
    const endAt = deps.clock.monotonicMs() + timeoutMs;
    while (consumer.activeCount() + direct.activeCount() > 0 && deps.clock.monotonicMs() < endAt) await delay(DRAIN_CHECK_MS);
  };
  const giveBack = async () => {
    const left = running.list();
    await Promise.allSettled(
      left.map(({ phase }) =>
        commits.release({ id: phase.id, fence: phase.fence, outcome: 'interrupted', reason: 'shutdown', delayMs: 0 }),
      ),
    );
    for (const { phase } of left) claims.unlock(phase.id);
    await Promise.all([commits.drain(), services.usage.flush(), receipts.drain()]);
    await claims.drain();
  };
  return {
    running,
    consumer,
    direct,
    leaseKeeper,
    drain: async (deadlineMs) => {
      consumer.pause();
      direct.close();
      runner.stopGoingOn();
      await idleWithin(deadlineMs / 2);
      running.stopAll('shutdown');
      await idleWithin(Math.max(0, deadlineMs / 2 - RELEASE_RESERVE_MS));
      // What cannot be written by then is found by its lease, as after a crash.
      await withTimeout(giveBack(), RELEASE_RESERVE_MS).catch((error: unknown) => {
        deps.log.warn({ err: error }, 'not everything could be given back');
      });
    },
  };
}
