// Every route with what it is given. Opens nothing and starts nothing.
import { createContentReceiver } from '@millrace/imports';
import { isTerminalFlow } from '@millrace/shared';
import type { JobDispatcher } from '@millrace/queue';
import {
  cancelFlow,
  completeCallback,
  countFlows,
  createKey,
  createKeyOnce,
  failCallback,
  listArchived,
  listKeys,
  listWorkers,
  listWorkspaces,
  pauseFlow,
  pauseQueue,
  readArchived,
  readExplainFacts,
  readFlow,
  readFlowHead,
  readImportHead,
  readJob,
  readKeptStarts,
  resumeFlow,
  rerunPhase,
  resumeQueue,
  retryFlow,
  revokeKey,
  searchFlows,
  sendSignal,
  setWeight,
  standsForBody,
  type Database,
} from '@millrace/store';
import { createFlowAcceptor } from './flows/accept-flow.ts';
import { createCallbackActions } from './flows/callback-actions.ts';
import { createFlowActions, type FlowActions } from './flows/flow-actions.ts';
import { type FlowIntake } from './flows/flow-intake.ts';
import { createProgressReader, type ProgressReader } from './flows/latest-progress.ts';
import { createCursors, type Cursors } from './http/input/cursors.ts';
import type { Route } from './http/route.ts';
import { archiveRoutes } from './routes/archive-routes.ts';
import { callbackRoutes } from './routes/callback-routes.ts';
import { datasetRoutes } from './routes/dataset-routes.ts';
import { deadRoutes } from './routes/dead-routes.ts';
import { docsRoutes } from './routes/docs-routes.ts';
import { explainRoutes } from './routes/explain-routes.ts';
import { eventRoutes } from './routes/event-routes.ts';
import { flowBatchRoutes, type FlowBatchRoutesDeps } from './routes/flow-batch-routes.ts';
import { flowBulkRoutes } from './routes/flow-bulk-routes.ts';
import { flowReader, flowRoutes } from './routes/flow-routes.ts';
import { flowSearchRoutes } from './routes/flow-search-routes.ts';
import { healthRoutes } from './routes/health-routes.ts';
import { importRoutes } from './routes/import-routes.ts';
import { keyRoutes } from './routes/key-routes.ts';
import { operationRoutes } from './routes/operation-routes.ts';
import { pauseRoutes } from './routes/pause-routes.ts';
import { queueRoutes } from './routes/queue-routes.ts';
import { rerunRoutes } from './routes/rerun-routes.ts';
import { scheduleRoutes } from './routes/schedule-routes.ts';
import { signalRoutes } from './routes/signal-routes.ts';
import { workspaceRoutes } from './routes/workspace-routes.ts';
import { createQueueReader } from './queues/queue-answer.ts';
import { createImportActions } from './uploads/import-actions.ts';
import { createUploadReceiver } from './uploads/receive-upload.ts';
import type { BuildAppDeps } from './app-deps.ts';

/** What the process says in its OpenAPI document. */
const API_VERSION = '1.0.0';

export function allRoutes(deps: BuildAppDeps, intake: FlowIntake): Route[] {
  const { database, clock, log } = deps;
  const acceptor = createFlowAcceptor({ planner: deps.planner, clock });
  const cursors = createCursors({ secret: async () => (await deps.instance()).cursorSecret });
  const readProgress = createProgressReader({
    source: {
      isReady: deps.redis.isReady,
      read: ({ workspace, flowId }) => deps.redis.readHash(deps.redis.keys.progressState(workspace, flowId)),
    },
    log,
  });
  const actions = createFlowActions({
    cancelFlow: (target) => cancelFlow(database, target),
    retryFlow: (target) => retryFlow(database, target),
    rerunPhase: (target) => rerunPhase(database, target),
    sendSignal: (signal) => sendSignal(database, signal, (flow) => deps.planner.declaresSignal(flow, signal.name)),
    pauseFlow: (pause) => pauseFlow(database, pause),
    resumeFlow: (target) => resumeFlow(database, target),
    updates: deps.updates,
    dispatch: (dispatches) => {
      deps.dispatch.send([...dispatches]);
    },
    ring: deps.dispatch.ring,
    log,
  });
  const kept = keptStarts(database);
  const routes = [
    ...flowRoutes({
      acceptor,
      intake,
      ...kept,
      readProgress,
      readFlow: (target) => readFlow(database.main, target),
      flowExists: async (target) => (await readFlowHead(database.main, target)) !== undefined,
      ...actions,
    }),
    ...signalRoutes({
      sendSignal: actions.sendSignal,
      readAnswer: flowReader({ readFlow: (target) => readFlow(database.main, target), readProgress }),
    }),
    ...callbackPart(deps),
    ...controlPart(deps, { cursors, actions, readProgress }),
    ...flowBatchRoutes({ acceptor, intake, ...kept, log }),
    ...eventRoutes({ hub: deps.hub, database, cursors, readHead: (kind, id, workspace) => readHead(database, { kind, id, workspace }) }),
    ...datasetRoutes({ database, cursors }),
    ...importPart(deps, cursors),
    ...selectionPart(database, cursors),
    ...scheduleRoutes({ database, acceptor, dispatch: deps.dispatch, cursors, clock }),
    ...housekeepingPart(deps, cursors),
    ...archiveRoutes({
      cursors,
      listArchived: (filter) => listArchived(database.main, filter),
      readArchived: (target) => readArchived(database.main, target),
    }),
  ];
  return [...routes, ...docsRoutes(routes, API_VERSION)];
}

// What requests are answered that were answered before.
function keptStarts({ main }: Database): Pick<FlowBatchRoutesDeps, 'readKept' | 'standsForBody'> {
  return {
    readKept: (workspace, keys) => readKeptStarts(main, workspace, keys),
    standsForBody: (workspace, key) => standsForBody(main, workspace, key),
  };
}

function callbackPart({ database, updates, dispatch, log }: BuildAppDeps): Route[] {
  const actions = createCallbackActions({
    completeCallback: (answer) => completeCallback(database, answer),
    failCallback: (failure) => failCallback(database, failure),
    updates,
    dispatch: (dispatches) => {
      dispatch.send([...dispatches]);
    },
    log,
  });
  return callbackRoutes(actions);
}

// Pausing, and what is there to see of queues, workers and reasons.
function controlPart(deps: BuildAppDeps, parts: { cursors: Cursors; actions: FlowActions; readProgress: ProgressReader }): Route[] {
  const { database, clock, redis } = deps;
  const readAnswer = flowReader({ readFlow: (target) => readFlow(database.main, target), readProgress: parts.readProgress });
  return [
    ...pauseRoutes({ clock, readAnswer, pauseFlow: parts.actions.pauseFlow, resumeFlow: parts.actions.resumeFlow }),
    ...rerunRoutes({ readAnswer, rerunPhase: parts.actions.rerunPhase }),
    ...explainRoutes({ readFacts: (target) => readExplainFacts(database.main, target), isRedisReady: redis.isReady }),
    ...queueRoutes({
      clock,
      cursors: parts.cursors,
      readQueue: createQueueReader({ database, clock }),
      pauseQueue: (pause) => pauseQueue(database.main, pause),
      resumeQueue: (target) => resumeQueue(database.main, target),
      listWorkers: (page) => listWorkers(database.main, page),
      readJob: (target) => readJob(database.main, target),
    }),
  ];
}

// What is about many flows at once.
function selectionPart(database: Database, cursors: Cursors): Route[] {
  return [
    ...flowSearchRoutes({
      cursors,
      searchFlows: (filter, page) => searchFlows(database, filter, page),
      countFlows: (filter) => countFlows(database, filter),
    }),
    ...flowBulkRoutes({ database }),
    ...deadRoutes({ database, cursors }),
    ...operationRoutes({ database, cursors }),
  ];
}

function importPart(deps: BuildAppDeps, cursors: Cursors): Route[] {
  const { database, storage, uploadLimits: limits, clock, log } = deps;
  const actions = createImportActions({ database, storage, updates: deps.updates, dispatcher: deps.dispatcher, log });
  const content = createContentReceiver({ database, storage, announce: actions.announce, log, limits });
  const receive = createUploadReceiver({ receive: content, idleMs: deps.uploadIdleMs });
  return importRoutes({ database, cursors, clock, receive, actions, uploadBytesMax: limits.uploadBytesMax });
}

async function readHead(database: Database, { kind, id, workspace }: { kind: 'flow' | 'import'; id: string; workspace: string }) {
  if (kind === 'import') return readImportHead(database.main, { importId: id, workspace });
  const head = await readFlowHead(database.main, { flowId: id, workspace });
  return head === undefined ? undefined : { ...head, ended: isTerminalFlow(head.status) };
}

async function waitingCounts(dispatcher: JobDispatcher): Promise<Record<string, number>> {
  const entries = await Promise.all(
    (['flow-phase', 'data-import'] as const).map(async (name) => [name, await dispatcher.waitingCount(name)] as const),
  );
  return Object.fromEntries(entries);
}

// Keys and health.
function housekeepingPart(deps: BuildAppDeps, cursors: Cursors): Route[] {
  const { database, clock } = deps;
  return [
    ...keyRoutes({
      authenticator: deps.authenticator,
      cursors,
      clock,
      createKey: (key) => createKey(database, key),
      createKeyOnce: (key, once) => createKeyOnce(database, key, once),
      listKeys: (page) => listKeys(database.main, page),
      revokeKey: (key) => revokeKey(database.main, key),
    }),
    ...workspaceRoutes({
      cursors,
      listWorkspaces: (page) => listWorkspaces(database.main, page),
      setWeight: async (change) => {
        const changed = await setWeight(database.main, change);
        await deps.dispatch.refreshWeights();
        return changed;
      },
    }),
    ...healthRoutes({
      readiness: deps.readiness,
      redis: { isReady: deps.redis.isReady, ping: deps.redis.ping, waitingCounts: () => waitingCounts(deps.dispatcher) },
      metricsText: () => deps.metrics.text(),
    }),
  ];
}
