// The worker's composition root: consumes both queues and runs the services around them. The only place that knows all of its parts.
import { hostname } from 'node:os';
import { loadFlows } from '@millrace/flows';
import {
  ConfigFault,
  startAll,
  stopAll,
  systemClock,
  type Config,
  type ProcessFrame,
  type RunningProcess,
  type Service,
} from '@millrace/process';
import { createJobConsumer, type DeliveryOutcome } from '@millrace/queue';
import { createFlowPlanner, type FlowRegistry } from '@millrace/sdk';
import { QUEUE_NAMES } from '@millrace/shared';
import { ensureSelftestTable, waitForSchema } from '@millrace/store';
import { createFlowEngine, type FlowEngine } from './engine/create-flow-engine.ts';
import type { EventPublisher } from './engine/event-publisher.ts';
import type { Isolation } from './engine/isolation.ts';
import { createImportEngine } from './imports/create-import-engine.ts';
import { createImportReconciler } from './imports/import-reconciler.ts';
import { importedOpener } from './imports/imported-opener.ts';
import { createIsolatedPhases, type IsolatedPhases } from './isolated/isolated-phases.ts';
import { createAnnouncer, type Announcer, type AnnouncerDeps } from './services/announcer.ts';
import { createChildrenLoop } from './services/children.ts';
import { createControlListener } from './services/control-listener.ts';
import { createFlowDispatcher } from './services/dispatcher.ts';
import { createReconciler } from './services/reconciler.ts';
import { createTableCleaner } from './services/table-cleaner.ts';
import { createWorkerConnections, type WorkerConnections } from './worker-connections.ts';
import { createMetricsServer, createWorkerMetrics, type WorkerMetrics } from './worker-metrics.ts';

const SERVICES_STOP_MS = 3_000;
const KEPT_OUT_MS = 1_000;

/** Constructs the worker and begins its start; it is ready when it has logged so. */
export async function startWorker(frame: ProcessFrame): Promise<RunningProcess> {
  const connections = createWorkerConnections(frame);
  const metrics = createWorkerMetrics();
  const engines = await createEngines(frame, connections, metrics);
  return start(frame, connections, engines);
}

type Engines = Awaited<ReturnType<typeof createEngines>>;

async function createEngines({ config, log }: ProcessFrame, connections: WorkerConnections, metrics: WorkerMetrics) {
  const { database, dispatcher, publisher } = connections;
  const onPass = metrics.passEnded;
  const flowDispatcher = createFlowDispatcher({ database, dispatcher, windowMax: config.dispatchWindow, log, onPass });
  const registry = await loadRegistry(config);
  const announcer = announcerOf({ config, log }, { connections, registry, onPass, runningCount: () => flows.running.list().length });
  const children = createChildrenLoop({
    database,
    publisher,
    dispatch: flowDispatcher.dispatch,
    announceCancel: (flowId) => connections.updates.publishControl({ type: 'cancel', flowId }),
    log,
    onPass,
  });
  const onFreed = (freed: { children: boolean }) => {
    if (freed.children) children.wake();
  };
  const isolated = createIsolatedPhases({
    ...connections,
    concurrency: config.isolatedConcurrency,
    dispatch: flowDispatcher.dispatch,
    onFreed,
    log,
  });
  const flows = createFlowEngine({
    ...connections,
    registry,
    planner: createFlowPlanner(registry),
    dispatch: flowDispatcher.dispatch,
    onFreed,
    openImported: importedOpener(database),
    runIsolated: isolated.run,
    http: { callbackUrl: `${config.publicUrl}/v1/callbacks`, secret: config.httpSecret },
    clock: systemClock,
    log,
    concurrency: config.flowConcurrency,
    onEnd: ({ phase, outcome, committed }) => {
      metrics.phaseEnded({ flow: phase.flow, outcome, committed });
      if (committed && (outcome === 'completed' || outcome === 'failed'))
        announcer.attemptEnded({ workspace: phase.workspace, completed: outcome === 'completed' });
    },
    onPass,
  });
  const { importReconciler, ...imports } = importsOf({ config, log }, connections, flows.isolation);
  const reconciler = createReconciler({
    database,
    dispatcher,
    publisher,
    dispatch: flowDispatcher.dispatch,
    reconcileImports: importReconciler.runOnce,
    log,
    onPass,
  });
  registerGauges(metrics, { flows, isolated, publisher });
  const metricsServer =
    config.metricsPort === undefined ? [] : [createMetricsServer({ metrics, port: config.metricsPort, host: config.host })];
  const tableCleaner = createTableCleaner({ database, log, onPass });
  return { flowDispatcher, flows, isolated, ...imports, reconciler, children, metricsServer, announcer, tableCleaner };
}

function importsOf({ config, log }: ProcessFrame, connections: WorkerConnections, isolation: Isolation) {
  const imports = createImportEngine({ ...connections, log });
  const importConsumer = createJobConsumer({
    ...connections.queue,
    log,
    queue: 'data-import',
    concurrency: config.importConcurrency,
    handle: (job) => enterAndHandle(isolation, () => imports.handle(job)),
  });
  return { imports, importConsumer, importReconciler: createImportReconciler({ ...connections, log }) };
}

type Gauged = { flows: FlowEngine; isolated: IsolatedPhases; publisher: EventPublisher };

function registerGauges(metrics: WorkerMetrics, { flows, isolated, publisher }: Gauged): void {
  metrics.gauge('millrace_phases_running', 'Phases this worker runs now.', () => flows.running.list().length);
  metrics.gauge('millrace_isolated_processes', 'Processes of isolated phases that run now.', isolated.count);
  metrics.gauge('millrace_doorbells_failed', 'Event messages that could not be published.', publisher.failedCount);
}

type AnnouncerParts = Pick<AnnouncerDeps, 'runningCount' | 'onPass'> & { connections: WorkerConnections; registry: FlowRegistry };

function announcerOf({ config, log }: ProcessFrame, { connections, registry, ...reports }: AnnouncerParts): Announcer {
  return createAnnouncer({
    ...reports,
    database: connections.database,
    worker: {
      id: connections.workerId,
      host: hostname(),
      pid: process.pid,
      startedAt: new Date(systemClock.nowMs()),
      concurrency: config.flowConcurrency,
      queues: QUEUE_NAMES,
      definitions: registry.list().map(({ name, version }) => ({ name, version })),
    },
    now: () => new Date(systemClock.nowMs()),
    log,
  });
}

// Chunks stay out while a suspect phase runs alone in this process.
async function enterAndHandle(isolation: Isolation, handle: () => Promise<DeliveryOutcome>): Promise<DeliveryOutcome> {
  const leave = isolation.enter();
  if (leave === null) return { kind: 'later', delayMs: KEPT_OUT_MS };
  try {
    return await handle();
  } finally {
    leave();
  }
}

function start({ config, log }: ProcessFrame, connections: WorkerConnections, engines: Engines): RunningProcess {
  const { flows, imports, importConsumer, flowDispatcher, announcer } = engines;
  // Consumers last: nothing is taken before everything that a job needs is there. Stopped in reverse, so the lease keeper outlives the work.
  const services: Service[] = [
    ...engines.metricsServer,
    engines.tableCleaner,
    announcer,
    createControlListener({ ...connections, running: flows.running, log }),
    flows.leaseKeeper,
    engines.isolated,
    engines.reconciler,
    engines.children,
    flowDispatcher,
    flows.consumer,
    importConsumer,
  ];
  const stopping = new AbortController();
  connections.open();
  const started = startWhenPossible({ config, log }, { connections, services, signal: stopping.signal });
  return {
    stop: async () => {
      stopping.abort();
      await Promise.allSettled([started]);
      importConsumer.pause();
      await Promise.all([announcer.announceStopping(), flows.drain(config.stopTimeoutMs), imports.drain(config.stopTimeoutMs)]);
      await stopAll(services, { deadlineMs: SERVICES_STOP_MS, log });
      await flowDispatcher.drain();
      await connections.close();
    },
  };
}

async function loadRegistry({ flowFolders, selftest }: Config): Promise<FlowRegistry> {
  try {
    return await loadFlows({ folders: flowFolders, selftest });
  } catch (error) {
    throw new ConfigFault(`MILLRACE_FLOWS: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

type StartParts = { connections: WorkerConnections; services: readonly Service[]; signal: AbortSignal };

async function startWhenPossible({ config, log }: ProcessFrame, { connections, services, signal }: StartParts): Promise<void> {
  try {
    await waitForSchema({ database: connections.database, log, signal });
    if (config.selftest) await ensureSelftestTable(config.databaseUrl);
    await startAll(services);
    log.info({ workerId: connections.workerId, concurrency: config.flowConcurrency }, 'worker is ready');
  } catch (error) {
    if (signal.aborted) return;
    log.fatal({ err: error }, 'the worker could not start');
    process.exit(1);
  }
}
