// The worker's composition root: opens the connections, puts engines and services together, starts them in order and stops them in reverse.
import { loadFlows } from '@millrace/flows';
import { ConfigFault, startAll, stopAll, type Config, type ProcessFrame, type RunningProcess, type Service } from '@millrace/process';
import type { FlowRegistry } from '@millrace/sdk';
import { ensureSelftestTable, waitForSchema } from '@millrace/store';
import { createEngines, type Doorbells } from './create-engines.ts';
import { createServices } from './create-services.ts';
import { createWorkerConnections, type WorkerConnections } from './worker-connections.ts';
import { createWorkerMetrics } from './worker-metrics.ts';

const SERVICES_STOP_MS = 3_000;

/** Constructs the worker and begins its start; it is ready when it has logged so. */
export async function startWorker(frame: ProcessFrame): Promise<RunningProcess> {
  const { config, log } = frame;
  const registry = await loadRegistry(config);
  const connections = createWorkerConnections(frame);
  const parts = { frame, connections, registry, metrics: createWorkerMetrics() };
  // The engines ring for services that are made after them, from what the engines give.
  const doorbells: Doorbells = {
    onFreed: (freed) => {
      services.doorbells.onFreed(freed);
    },
    onAttemptEnded: (ended) => {
      services.doorbells.onAttemptEnded(ended);
    },
  };
  const engines = createEngines(parts, doorbells);
  const services = createServices(parts, engines);
  const stopping = new AbortController();
  connections.open();
  const started = startWhenPossible(frame, { connections, services: services.inOrder, signal: stopping.signal });
  return {
    stop: async () => {
      stopping.abort();
      await Promise.allSettled([started]);
      engines.importConsumer.pause();
      const deadlineMs = config.stopTimeoutMs;
      await Promise.all([services.announceStopping(), engines.flows.drain(deadlineMs), engines.imports.drain(deadlineMs)]);
      await stopAll(services.inOrder, { deadlineMs: SERVICES_STOP_MS, log });
      await engines.flowDispatcher.drain();
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
