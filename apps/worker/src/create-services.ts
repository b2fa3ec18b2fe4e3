// The services around the engines: loops that feed, repair, announce and clean. Any number of processes may run each of them.
import { hostname } from 'node:os';
import { systemClock, type Service } from '@millrace/process';
import { createFlowPlanner } from '@millrace/sdk';
import { QUEUE_NAMES } from '@millrace/shared';
import type { Doorbells, Engines, WorkerParts } from './create-engines.ts';
import { createImportReconciler } from './imports/import-reconciler.ts';
import { createAdmissions } from './services/admissions.ts';
import { createAnnouncer, type Announcer } from './services/announcer.ts';
import { createChildrenLoop } from './services/children.ts';
import { createCodeWaiters } from './services/code-waiters.ts';
import { createControlListener } from './services/control-listener.ts';
import { createSchedulePlan } from './services/plan-schedule.ts';
import { endOverdueFlows } from './services/overdue-flows.ts';
import { createOperations } from './services/operations.ts';
import { createPartitions } from './services/partitions.ts';
import { createPlanner } from './services/planner.ts';
import { createReconciler } from './services/reconciler.ts';
import { createRetention } from './services/retention.ts';
import { createSchedules } from './services/schedules.ts';
import { createTableCleaner } from './services/table-cleaner.ts';
import { createMetricsServer } from './worker-metrics.ts';

export type WorkerServices = {
  /** In the order of their start, the engines' own among them. */
  inOrder: readonly Service[];
  announceStopping(): Promise<void>;
  doorbells: Doorbells;
};

export function createServices(parts: WorkerParts, engines: Engines): WorkerServices {
  const { connections, registry, metrics } = parts;
  const { config, log } = parts.frame;
  const { flows, importConsumer, flowDispatcher } = engines;
  const onPass = metrics.passEnded;
  const admissions = createAdmissions({ ...connections, registry, onAdmitted: flowDispatcher.wake, log, onPass });
  const ringAll = () => {
    flowDispatcher.wake();
    admissions.wake();
  };
  const common = { ...connections, dispatch: flowDispatcher.dispatch, wakeDispatcher: ringAll, log, onPass };
  const planner = createFlowPlanner(registry);
  const children = createChildrenLoop({
    ...common,
    announceCancel: (flowId) => connections.updates.publishControl({ type: 'cancel', flowId }),
  });
  const schedules = createScheduleLoop(parts, { ...common, plan: createSchedulePlan(planner) });
  const definitions = registry.list().map(({ name, version }) => ({ name, version }));
  const codeWaiters = createCodeWaiters({ ...common, definitions, direct: flows.direct, onReleased: ringAll });
  const waking = { admissions, backlog: flowDispatcher, code: codeWaiters };
  const reconcileImports = createImportReconciler({ ...connections, log }).runOnce;
  const announcer = createWorkerAnnouncer(parts, engines);
  return {
    announceStopping: () => announcer.announceStopping(),
    doorbells: {
      onFreed: (freed) => {
        if (freed.children) children.wake();
        if (freed.admissions) admissions.wake();
      },
      onAttemptEnded: announcer.attemptEnded,
    },
    // Consumers last: nothing is taken before everything that a job needs is there. Stopped in reverse, so the lease keeper outlives the work.
    inOrder: [
      ...(config.metricsPort === undefined ? [] : [createMetricsServer({ metrics, port: config.metricsPort, host: config.host })]),
      createPartitions({ ...common, retentionDays: config.retentionDays }),
      createRetention({ ...common, registry, retentionDays: config.retentionDays, onDeleted: metrics.flowsDeleted }),
      createTableCleaner(common),
      announcer,
      createControlListener({ ...connections, running: flows.running, onWaiting: (what) => waking[what].wake(), log }),
      flows.leaseKeeper,
      engines.isolated,
      createReconciler({
        ...common,
        clock: systemClock,
        reconcileImports,
        endOverdueFlows: (limit) => endOverdueFlows({ ...connections, log }, limit),
      }),
      children,
      createOperations(common),
      flowDispatcher,
      admissions,
      createPlanner({ ...common, registry, planner, onPlanned: ringAll }),
      schedules,
      codeWaiters,
      flows.consumer,
      importConsumer,
    ],
  };
}

type ScheduleDeps = Omit<Parameters<typeof createSchedules>[0], 'knownFlows' | 'onFire'>;

function createScheduleLoop({ registry, metrics }: WorkerParts, deps: ScheduleDeps): Service {
  return createSchedules({ ...deps, knownFlows: registry.list().map(({ name }) => name), onFire: metrics.scheduleFired });
}

function createWorkerAnnouncer({ frame, connections, registry, metrics }: WorkerParts, { flows }: Engines): Announcer {
  const now = () => new Date(systemClock.nowMs());
  return createAnnouncer({
    database: connections.database,
    runningCount: () => flows.running.list().length,
    worker: {
      id: connections.workerId,
      host: hostname(),
      pid: process.pid,
      startedAt: now(),
      concurrency: frame.config.flowConcurrency,
      queues: QUEUE_NAMES,
      definitions: registry.list().map(({ name, version }) => ({ name, version })),
    },
    now,
    log: frame.log,
    onPass: metrics.passEnded,
  });
}
