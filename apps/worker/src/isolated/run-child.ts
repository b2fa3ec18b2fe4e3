// The composition root of a process that runs one attempt: the same code as in the worker, with the parts that are the worker's replaced.
// The worker has claimed the phase, keeps its lease and lock, puts jobs into the queue, and decides when this process must end.
import { loadFlows } from '@millrace/flows';
import { spoolLimits } from '@millrace/imports';
import { createLogger, systemClock, type Config, type Logger } from '@millrace/process';
import { LIMITS, type Dispatch, type QueueName } from '@millrace/shared';
import { createFlowPlanner, type FlowRegistry } from '@millrace/sdk';
import { importedOpener } from '../imports/imported-opener.ts';
import { createPhaseImports } from '../imports/phase-imports.ts';
import type { PhaseRunnerDeps } from '../engine/attempt.ts';
import { createContextServices } from '../engine/context/context-services.ts';
import { createHttpPhases } from '../engine/http/http-phases.ts';
import type { PhaseClaims } from '../engine/phase-claims.ts';
import { createPhaseCommits, type PhaseCommits } from '../engine/phase-commits.ts';
import { createPhaseDefinitions, type PhaseDefinitions } from '../engine/phase-definitions.ts';
import { createPhaseRunner } from '../engine/phase-runner.ts';
import { createRunningPhases, type RunningPhases } from '../engine/running-phases.ts';
import { timeLimits } from '../engine/time-limits.ts';
import { createChildConnections, type ChildConnections } from './child-connections.ts';
import type { ParentLink, Task } from './parent-link.ts';

/** No lease is begun here: what this attempt makes ready goes through the queue. */
const NOT_GONE_ON_WITH = 0;

/** Runs the attempt that the worker hands over, and reports how it ended. @throws what a worker would not survive either. */
export async function runChild({ config, link }: { config: Config; link: ParentLink }): Promise<void> {
  const log = createLogger({ name: 'isolated', level: config.logLevel === 'silent' ? 'silent' : 'warn' });
  const connections = createChildConnections({ config, log });
  const [registry, task] = await Promise.all([
    loadFlows({ folders: config.flowFolders, selftest: config.selftest }),
    link.task,
    connections.open(),
  ]);
  let end: Parameters<PhaseRunnerDeps['onEnd']>[0] | undefined;
  const running = createRunningPhases();
  link.onStop(running.stopAll);
  const dispatch: PhaseRunnerDeps['dispatch'] = (dispatches) => void sendJobs(link, 'flow-phase', dispatches);
  const commits = createPhaseCommits({
    ...connections,
    log,
    dispatch,
    onFreed: (freed) => void link.send({ type: 'freed', freed }),
    leaseMs: NOT_GONE_ON_WITH,
  });
  const services = createContextServices({ ...connections, registry, clock: systemClock, log, workerId: ownName(task) });
  const runner = createPhaseRunner({
    ...runnerDeps({ config, connections, registry, task, log, link, commits }),
    services,
    dispatch,
    commits,
    running: leftToTheWorker(running),
    onEnd: (one) => {
      end = one;
    },
  });
  runner.stopGoingOn();
  await link.send({ type: 'started' });
  const delivery = await runner.handle({ id: task.phase.id, generation: 0 });
  await link.send({ type: 'ended', outcome: end?.outcome ?? 'interrupted', committed: end?.committed ?? false, delivery });
  await Promise.all([commits.drain(), services.usage.flush()]);
  await connections.close();
}

// Writers that number what they send need a name that no other process uses, the worker neither.
function ownName({ workerId, phase }: Task): string {
  return `${workerId}/${phase.id}/${phase.fence}`;
}

async function sendJobs(link: ParentLink, queue: QueueName, dispatches: readonly Dispatch[]): Promise<void> {
  if (dispatches.length > 0) await link.send({ type: 'dispatch', queue, dispatches });
}

type Parts = {
  config: Config;
  connections: ChildConnections;
  registry: FlowRegistry;
  task: Task;
  log: Logger;
  link: ParentLink;
  commits: PhaseCommits;
};

function runnerDeps({
  config,
  connections,
  registry,
  task,
  log,
  link,
  commits,
}: Parts): Omit<PhaseRunnerDeps, 'commits' | 'dispatch' | 'services' | 'running' | 'onEnd'> {
  const { workerId } = task;
  const settings = { callbackUrl: `${config.publicUrl}/v1/callbacks`, secret: config.httpSecret };
  // No phase that calls a service says `isolate`, but one that is suspected runs here like any other.
  const http = createHttpPhases({ ...connections, commits, http: settings, clock: systemClock, workerId });
  const dispatcher = { dispatch: (queue: QueueName, dispatches: readonly Dispatch[]) => sendJobs(link, queue, dispatches) };
  return {
    ...connections,
    log,
    workerId,
    claims: alreadyClaimed(task),
    definitions: withoutHardLimit(createPhaseDefinitions(registry, http)),
    planner: createFlowPlanner(registry),
    openImported: importedOpener(connections.database),
    imports: createPhaseImports({ ...connections, dispatcher, limits: spoolLimits(config), log }),
    clock: systemClock,
    random: Math.random,
  };
}

// That it is not to run in the worker's own process was decided by the worker, too.
function alreadyClaimed({ phase, workerId }: Task): PhaseClaims {
  return {
    claim: () => Promise.resolve({ kind: 'claimed', phase: { ...phase, crashes: 0 } }),
    unlock: () => undefined,
    lockOf: (phaseId) => ({ key: phaseId, token: workerId }),
    drain: () => Promise.resolve(),
  };
}

// At the hard limit the worker kills this process, and after the time of grace too. Nobody is left behind here: that would end the attempt
// while its handler still runs.
function withoutHardLimit(definitions: PhaseDefinitions): PhaseDefinitions {
  return {
    find: (phase) => {
      const found = definitions.find(phase);
      if (found.kind !== 'found') return found;
      const timeout = { soft: timeLimits(found.definition).softMs, hard: LIMITS.timerMsMax };
      return { ...found, definition: { ...found.definition, isolate: false, timeout } };
    },
  };
}

// Who does not stop is the worker's to kill.
function leftToTheWorker(phases: RunningPhases): RunningPhases {
  return {
    ...phases,
    add: (phase, claim) => {
      const running = phases.add(phase, claim);
      running.whenStopped = () => undefined;
      return running;
    },
  };
}
