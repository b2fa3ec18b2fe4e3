// Queues, which all workspaces share: what is in them of the caller's, and pausing them. Workers and jobs: what runs where.
import {
  AppError,
  DEFAULT_WORKSPACE,
  jobSchema,
  pauseQueueSchema,
  QUEUE_NAMES,
  queuePageSchema,
  queueSchema,
  resumeQueueSchema,
  workerListQuery,
  workerPageSchema,
  type Principal,
  type QueueName,
} from '@millrace/shared';
import type { Clock } from '@millrace/process';
import { EVERYBODY, type QueuePause, type StoredJob, type StoredWorker } from '@millrace/store';
import type { Cursors } from '../http/input/cursors.ts';
import { endTime } from '../http/input/end-time.ts';
import { defineRoute, type ApiReply, type Route } from '../http/route.ts';
import { jobAnswer, parseJobId } from '../queues/job-answer.ts';
import type { QueueReader } from '../queues/queue-answer.ts';
import { workerAnswer } from '../queues/worker-answer.ts';

export type QueueRoutesDeps = {
  clock: Clock;
  cursors: Cursors;
  readQueue: QueueReader;
  pauseQueue(pause: Omit<QueuePause, 'at'>): Promise<void>;
  /** False when it was not paused in this scope. */
  resumeQueue(target: { queue: QueueName; workspace: string }): Promise<boolean>;
  listWorkers(page: { after: string | null; limit: number }): Promise<StoredWorker[]>;
  readJob(target: { id: string; workspace: string }): Promise<StoredJob | undefined>;
};

const TAG = 'Queues';

export function queueRoutes(deps: QueueRoutesDeps): Route[] {
  return [listRoute(deps), pauseRoute(deps), resumeRoute(deps), workersRoute(deps), jobRoute(deps)];
}

function listRoute(deps: QueueRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/queues',
    operationId: 'listQueues',
    summary: 'Counts, ages, rates and pauses of the queues',
    tag: TAG,
    responses: { 200: { description: "Each queue with the work of the caller's workspace", schema: queuePageSchema } },
    errors: [],
    handler: async ({ principal }) => ({
      status: 200,
      body: { items: await Promise.all(QUEUE_NAMES.map((name) => deps.readQueue(name, principal.workspace))), nextCursor: null },
    }),
  });
}

function pauseRoute(deps: QueueRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: '/v1/queues/{queue}/pause',
    operationId: 'pauseQueue',
    summary: 'Pause a queue',
    description: 'What runs finishes, and nothing later starts. A second pause of the same scope takes the place of the first.',
    tag: TAG,
    nameParams: ['queue'],
    body: { kind: 'json', schema: pauseQueueSchema, optional: true },
    responses: { 202: { description: 'The paused queue', schema: queueSchema } },
    errors: ['not-found'],
    handler: async ({ params, body, principal }) => {
      const workspace = scopeOf(body.scope, principal);
      const until = endTime(body.until, deps.clock.nowMs());
      const queue = queueNamed(params['queue']);
      await deps.pauseQueue({ queue, workspace, by: principal.keyId, reason: body.reason ?? null, until });
      return queueReply(deps, queue, principal);
    },
  });
}

function resumeRoute(deps: QueueRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: '/v1/queues/{queue}/resume',
    operationId: 'resumeQueue',
    summary: 'Resume a paused queue',
    description: 'Ends the pause of one scope; one of the other scope goes on.',
    tag: TAG,
    nameParams: ['queue'],
    body: { kind: 'json', schema: resumeQueueSchema, optional: true },
    responses: { 202: { description: 'The queue', schema: queueSchema } },
    errors: ['not-found', 'invalid-state'],
    handler: async ({ params, body, principal }) => {
      const workspace = scopeOf(body.scope, principal);
      const queue = queueNamed(params['queue']);
      if (!(await deps.resumeQueue({ queue, workspace })))
        throw new AppError('invalid-state', {
          detail: `The queue is not paused for ${body.scope === 'everybody' ? 'everybody' : 'this workspace'}.`,
        });
      return queueReply(deps, queue, principal);
    },
  });
}

async function queueReply(deps: QueueRoutesDeps, queue: QueueName, principal: Principal): Promise<ApiReply> {
  return { status: 202, body: await deps.readQueue(queue, principal.workspace) };
}

/** @throws AppError not-found */
function queueNamed(name: string | undefined): QueueName {
  const queue = QUEUE_NAMES.find((known) => known === name);
  if (queue === undefined) throw new AppError('not-found');
  return queue;
}

/** @throws AppError insufficient-role when someone of another workspace than `default` means everybody */
function scopeOf(scope: 'workspace' | 'everybody', principal: Principal): string {
  if (scope === 'workspace') return principal.workspace;
  requireDefault(principal, 'Only the workspace `default` may pause a queue for everybody, or resume it.');
  return EVERYBODY;
}

function requireDefault(principal: Principal, detail: string): void {
  if (principal.workspace !== DEFAULT_WORKSPACE) throw new AppError('insufficient-role', { detail });
}

function workersRoute(deps: QueueRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/workers',
    operationId: 'listWorkers',
    summary: 'Workers with the flows they know and the work they have',
    description: 'Only for the workspace `default`, because workers serve all of them. Dead ones are listed for a day.',
    tag: TAG,
    query: workerListQuery,
    responses: { 200: { description: 'A page of workers in the order of their ids', schema: workerPageSchema } },
    errors: ['invalid-cursor'],
    handler: async ({ query, principal }) => {
      requireDefault(principal, 'Only the workspace `default` may see the workers.');
      const scope = { workspace: principal.workspace, list: 'workers', filter: null };
      const after = query.cursor === undefined ? null : await deps.cursors.decode(scope, query.cursor);
      const found = await deps.listWorkers({ after, limit: query.limit + 1 });
      const page = found.slice(0, query.limit);
      const last = page.at(-1);
      const nextCursor = found.length > page.length && last !== undefined ? await deps.cursors.encode(scope, last.id) : null;
      return { status: 200, body: { items: page.map((worker) => workerAnswer(worker)), nextCursor } };
    },
  });
}

function jobRoute(deps: QueueRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/jobs/{id}',
    operationId: 'readJob',
    summary: 'Read a job',
    description: 'The id is `<phase id>-<generation>`, or a phase id for its latest job; chunks of imports work the same way.',
    tag: TAG,
    nameParams: ['id'],
    responses: { 200: { description: 'The job as PostgreSQL knows it', schema: jobSchema } },
    errors: ['not-found'],
    handler: async ({ params, principal }) => {
      const asked = parseJobId(params['id'] ?? '');
      const job = asked === undefined ? undefined : await deps.readJob({ id: asked.id, workspace: principal.workspace });
      const body = asked === undefined || job === undefined ? undefined : jobAnswer(job, asked.generation);
      if (body === undefined) throw new AppError('not-found');
      return { status: 200, body };
    },
  });
}
