// What carries out work in a worker: the flow engine and the import engine with their queues, and the dispatcher that feeds them.
import { spoolLimits } from '@millrace/imports';
import { systemClock, type ProcessFrame } from '@millrace/process';
import { createJobConsumer, type JobConsumer } from '@millrace/queue';
import { createFlowPlanner, type FlowRegistry } from '@millrace/sdk';
import { createFlowEngine, type FlowEngine, type FlowEngineDeps } from './engine/create-flow-engine.ts';
import { createImportEngine, type ImportEngine } from './imports/create-import-engine.ts';
import { announce } from './imports/import-announcer.ts';
import { importedOpener } from './imports/imported-opener.ts';
import { createPhaseImports } from './imports/phase-imports.ts';
import { createIsolatedPhases, type IsolatedPhases } from './isolated/isolated-phases.ts';
import { createFlowDispatcher, type FlowDispatcher } from './services/dispatcher.ts';
import type { WorkerConnections } from './worker-connections.ts';
import type { WorkerMetrics } from './worker-metrics.ts';

export type WorkerParts = { frame: ProcessFrame; connections: WorkerConnections; registry: FlowRegistry; metrics: WorkerMetrics };

/** What the engines ring when something happens that services care for. */
export type Doorbells = Pick<FlowEngineDeps, 'onFreed'> & { onAttemptEnded(ended: { workspace: string; completed: boolean }): void };

export type Engines = {
  flowDispatcher: FlowDispatcher;
  flows: FlowEngine;
  isolated: IsolatedPhases;
  imports: ImportEngine;
  importConsumer: JobConsumer;
};

export function createEngines(parts: WorkerParts, doorbells: Doorbells): Engines {
  const { connections, metrics } = parts;
  const { config, log } = parts.frame;
  const { database, dispatcher } = connections;
  const onPass = metrics.passEnded;
  const flowDispatcher = createFlowDispatcher({ database, dispatcher, windowMax: config.dispatchWindow, log, onPass });
  const { dispatch } = flowDispatcher;
  const isolated = createIsolatedPhases({
    workerId: connections.workerId,
    concurrency: config.isolatedConcurrency,
    onFreed: doorbells.onFreed,
    dispatch: (queue, dispatches) => {
      if (queue === 'flow-phase') dispatch(dispatches);
      else void announce({ ...connections, log }, { events: [], dispatches });
    },
    log,
  });
  const flows = createFlowEngine({ ...flowEngineDeps(parts, doorbells), dispatch, runIsolated: isolated.run });
  const imports = createImportEngine({ ...connections, log });
  const importConsumer = createJobConsumer({
    ...connections.queue,
    log,
    queue: 'data-import',
    concurrency: config.importConcurrency,
    handle: (job) => imports.handle(job),
  });
  metrics.gauge('millrace_phases_running', 'Phases this worker runs now.', () => flows.running.list().length);
  metrics.gauge('millrace_isolated_processes', 'Processes of isolated phases that run now.', isolated.count);
  metrics.gauge('millrace_doorbells_failed', 'Event messages that could not be published.', connections.publisher.failedCount);
  return { flowDispatcher, flows, isolated, imports, importConsumer };
}

function flowEngineDeps({ frame, connections, registry, metrics }: WorkerParts, doorbells: Doorbells): Omit<FlowEngineDeps, 'dispatch'> {
  const { config, log } = frame;
  return {
    ...connections,
    registry,
    planner: createFlowPlanner(registry),
    http: { callbackUrl: `${config.publicUrl}/v1/callbacks`, secret: config.httpSecret },
    openImported: importedOpener(connections.database),
    imports: createPhaseImports({ ...connections, limits: spoolLimits(config), log }),
    clock: systemClock,
    log,
    concurrency: config.flowConcurrency,
    onEnd: ({ phase, outcome, committed }) => {
      metrics.phaseEnded({ flow: phase.flow, outcome, committed });
      if (committed && (outcome === 'completed' || outcome === 'failed'))
        doorbells.onAttemptEnded({ workspace: phase.workspace, completed: outcome === 'completed' });
    },
    onFreed: doorbells.onFreed,
    onPass: metrics.passEnded,
  };
}
