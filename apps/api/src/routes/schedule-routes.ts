// Make, list, read, pause, resume, run and delete schedules, and read what became of their times.
import {
  acceptedFlowSchema,
  AppError,
  fieldError,
  newFlowSchema,
  newScheduleSchema,
  scheduleFirePageSchema,
  scheduleFireQuery,
  scheduleListQuery,
  schedulePageSchema,
  schedulePauseSchema,
  scheduleSchema,
  type Principal,
} from '@millrace/shared';
import type { Clock } from '@millrace/process';
import {
  createSchedule,
  deleteSchedule,
  listFires,
  listSchedules,
  pauseSchedule,
  readSchedule,
  resumeSchedule,
  runSchedule,
  type CreatedFlow,
  type CreatedSchedule,
  type Database,
  type ReadSchedule,
  type ScheduleActionOutcome,
  type ScheduleTarget,
} from '@millrace/store';
import type { FlowAcceptor, FlowDraft } from '../flows/accept-flow.ts';
import type { FlowDispatch } from '../flows/flow-intake.ts';
import type { Cursors } from '../http/input/cursors.ts';
import { bodyHashOf, idempotencyKeyOf, replayedBody } from '../http/input/idempotency-key.ts';
import { defineRoute, type ApiReply, type ApiRequest, type Route } from '../http/route.ts';
import { fireAnswer, listedScheduleAnswer, scheduleAnswer, scheduleLinks } from '../schedules/schedule-answer.ts';

export type ScheduleRoutesDeps = {
  database: Database;
  acceptor: FlowAcceptor;
  dispatch: FlowDispatch;
  cursors: Cursors;
  clock: Clock;
};

const TAG = 'Schedules';
const PATH = '/v1/schedules/{id}';
const CREATE_SCOPE = 'POST /v1/schedules';
const IDEMPOTENCY_HEADER = {
  'Idempotency-Key': 'Optional; 1 to 255 visible ASCII characters. The same key and body again within 24 h answer with the first result.',
};
const IDEMPOTENCY_ERRORS = ['idempotency-key-invalid', 'idempotency-in-progress', 'idempotency-key-reused'] as const;
const REPLAYED = { 'Idempotency-Replayed': '`true` when this is the answer of an earlier request' };
const PAUSE_AHEAD_MS_MAX = 10 * 366 * 86_400_000;

export function scheduleRoutes(deps: ScheduleRoutesDeps): Route[] {
  return [
    createRoute(deps),
    listRoute(deps),
    readRoute(deps),
    firesRoute(deps),
    pauseRoute(deps),
    resumeRoute(deps),
    runRoute(deps),
    deleteRoute(deps),
  ];
}

function createRoute({ database, acceptor }: ScheduleRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: '/v1/schedules',
    operationId: 'createSchedule',
    summary: 'Make a schedule that starts a flow at the times of a cron expression',
    description:
      'Each time is fired once, whatever the number of processes. A time that nobody fired within 60 s is late, and `catchUp` decides about it; what is not fired is recorded as missed.',
    tag: TAG,
    headers: IDEMPOTENCY_HEADER,
    body: { kind: 'json', schema: newScheduleSchema },
    responses: {
      201: { description: 'The schedule', schema: scheduleSchema, headers: { Location: 'The schedule', ...REPLAYED } },
    },
    errors: [...IDEMPOTENCY_ERRORS, 'unknown-flow', 'invalid-flow', 'already-exists'],
    handler: async ({ body, headers, principal }) => {
      const key = idempotencyKeyOf(headers);
      const { inputJson, name: flow } = draftOf(acceptor, body, principal);
      const { input: _input, ...settings } = body;
      const created = await createSchedule(database, {
        ...settings,
        flow,
        inputJson,
        workspace: principal.workspace,
        createdBy: principal.keyId,
        idempotency: key === null ? null : { route: CREATE_SCOPE, key, bodyHash: bodyHashOf(body) },
        respond: (schedule) => ({ status: 201, body: scheduleAnswer(schedule) }),
      });
      return createdReply(created);
    },
  });
}

/** @throws AppError unknown-flow, validation, invalid-flow: the definition may not be what it was when the schedule was made */
function draftOf(
  acceptor: FlowAcceptor,
  flow: { flow: string; input: unknown; tags: Record<string, string> },
  principal: Principal,
): FlowDraft {
  return acceptor.accept(newFlowSchema.parse({ flow: flow.flow, input: flow.input, tags: flow.tags }), principal);
}

function createdReply(created: CreatedSchedule): ApiReply {
  if (created.kind === 'key-reused') throw keyReused();
  const location = (created.body as { links: { self: string } }).links.self;
  if (created.kind === 'created') return { status: created.status, body: created.body, headers: { location } };
  return {
    status: created.status,
    body: replayedBody(scheduleSchema, created.body),
    headers: { location, 'idempotency-replayed': 'true' },
  };
}

function listRoute({ database, cursors }: ScheduleRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/schedules',
    operationId: 'listSchedules',
    summary: 'List schedules, newest first',
    tag: TAG,
    query: scheduleListQuery,
    responses: { 200: { description: 'A page of schedules without their inputs', schema: schedulePageSchema } },
    errors: ['invalid-cursor'],
    handler: async ({ query, principal: { workspace } }) => {
      const flow = query.flow ?? null;
      const scope = { workspace, list: 'schedules', filter: flow };
      const before = query.cursor === undefined ? null : await cursors.decode(scope, query.cursor);
      const found = await listSchedules(database.main, { workspace, flow, before, limit: query.limit + 1 });
      const page = found.slice(0, query.limit);
      const last = page.at(-1);
      const nextCursor = found.length > page.length && last !== undefined ? await cursors.encode(scope, last.id) : null;
      return { status: 200, body: { items: page.map((schedule) => listedScheduleAnswer(schedule)), nextCursor } };
    },
  });
}

function readRoute({ database }: ScheduleRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: PATH,
    operationId: 'readSchedule',
    summary: 'Read a schedule: its next five times, its last run, how many times were missed, and who paused it',
    tag: TAG,
    responses: { 200: { description: 'The schedule', schema: scheduleSchema } },
    errors: ['not-found'],
    handler: async (request) => ({ status: 200, body: scheduleAnswer(await requireSchedule(database, targetOf(request))) }),
  });
}

function firesRoute({ database, cursors }: ScheduleRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: `${PATH}/fires`,
    operationId: 'listScheduleFires',
    summary: 'List what became of the times of a schedule, the latest first',
    description: 'Kept for 90 days. Missed times beyond 100 in a row are one entry with their `count`.',
    tag: TAG,
    query: scheduleFireQuery,
    responses: { 200: { description: 'A page of fires', schema: scheduleFirePageSchema } },
    errors: ['not-found', 'invalid-cursor'],
    handler: async (request) => {
      const { query } = request;
      const target = targetOf(request);
      const outcomes = query.outcome ?? null;
      const scope = { workspace: target.workspace, list: 'schedule-fires', filter: [target.scheduleId, outcomes] };
      const before = query.cursor === undefined ? null : await cursors.decode(scope, query.cursor);
      await requireSchedule(database, target);
      const found = await listFires(database.main, { ...target, outcomes, before, limit: query.limit + 1 });
      const page = found.slice(0, query.limit);
      const last = page.at(-1);
      const nextCursor = found.length > page.length && last !== undefined ? await cursors.encode(scope, last.id) : null;
      return { status: 200, body: { items: page.map((fire) => fireAnswer(fire)), nextCursor } };
    },
  });
}

function pauseRoute({ database, clock }: ScheduleRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: `${PATH}/pause`,
    operationId: 'pauseSchedule',
    summary: 'Pause a schedule, until a time or until it is resumed',
    description:
      'Times that come meanwhile are neither fired nor missed, and a fire that waits is skipped; flows that were started go on. Pausing again replaces reason and end.',
    tag: TAG,
    body: { kind: 'json', schema: schedulePauseSchema, optional: true },
    responses: { 202: { description: 'The paused schedule', schema: scheduleSchema } },
    errors: ['not-found'],
    handler: async (request) => {
      const target = targetOf(request);
      const { reason = null, until } = request.body;
      const pause = { by: request.principal.keyId, reason, until: until === undefined ? null : pauseEnd(until, clock.nowMs()) };
      requireDone(await pauseSchedule(database, target, pause));
      return actionReply(await requireSchedule(database, target));
    },
  });
}

function pauseEnd(until: string, nowMs: number): string {
  const atMs = Date.parse(until);
  if (Number.isNaN(atMs) || atMs <= nowMs) throw fieldError('validation', '/until', 'must lie in the future');
  if (atMs > nowMs + PAUSE_AHEAD_MS_MAX) throw fieldError('validation', '/until', 'must lie within ten years');
  return new Date(atMs).toISOString();
}

function resumeRoute({ database }: ScheduleRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: `${PATH}/resume`,
    operationId: 'resumeSchedule',
    summary: 'End the pause of a schedule',
    description: 'It goes on with its next time; what came during the pause is not caught up.',
    tag: TAG,
    responses: { 202: { description: 'The schedule', schema: scheduleSchema } },
    errors: ['not-found', 'invalid-state'],
    handler: async (request) => {
      const target = targetOf(request);
      requireDone(await resumeSchedule(database, target));
      return actionReply(await requireSchedule(database, target));
    },
  });
}

function runRoute({ database, acceptor, dispatch }: ScheduleRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: `${PATH}/run`,
    operationId: 'runSchedule',
    summary: 'Start a flow of a schedule now',
    description:
      'Whether or not it is paused or another of its flows runs; its own times stay as they are. The flow counts as one of the schedule for `overlap`.',
    tag: TAG,
    headers: IDEMPOTENCY_HEADER,
    responses: {
      202: { description: 'The flow', schema: acceptedFlowSchema, headers: { Location: 'The flow', ...REPLAYED } },
    },
    errors: ['not-found', ...IDEMPOTENCY_ERRORS, 'unknown-flow', 'invalid-flow', 'validation'],
    handler: async (request) => {
      const key = idempotencyKeyOf(request.headers);
      const target = targetOf(request);
      const draft = draftOf(acceptor, await requireSchedule(database, target), request.principal);
      const route = `POST ${scheduleLinks(target.scheduleId).run}`;
      const idempotency = key === null ? null : { route, key, bodyHash: bodyHashOf({}) };
      const created = await runSchedule(database, target, { ...draft, idempotency, dispatch: dispatch.room() > 0 });
      if (created.kind === 'not-found') throw new AppError('not-found');
      if (created.kind === 'created' && created.dispatches.length > 0) dispatch.send(created.dispatches);
      return runReply(created);
    },
  });
}

function runReply(created: CreatedFlow): ApiReply {
  if (created.kind === 'key-reused') throw keyReused();
  const location = (created.body as { links: { self: string } }).links.self;
  if (created.kind === 'created') return { status: created.status, body: created.body, headers: { location } };
  return {
    status: created.status,
    body: replayedBody(acceptedFlowSchema, created.body),
    headers: { location, 'idempotency-replayed': 'true' },
  };
}

function deleteRoute({ database }: ScheduleRoutesDeps): Route {
  return defineRoute({
    method: 'delete',
    path: PATH,
    operationId: 'deleteSchedule',
    summary: 'Delete a schedule and the record of its fires',
    description: 'Flows it has started go on; a fire that waits is dropped.',
    tag: TAG,
    responses: { 204: { description: 'Deleted' } },
    errors: ['not-found'],
    handler: async (request) => {
      if (!(await deleteSchedule(database.main, targetOf(request)))) throw new AppError('not-found');
      return { status: 204 };
    },
  });
}

function actionReply(schedule: ReadSchedule): ApiReply {
  return { status: 202, body: scheduleAnswer(schedule), headers: { location: scheduleLinks(schedule.id).self } };
}

function requireDone(outcome: ScheduleActionOutcome): void {
  if (outcome.kind === 'not-found') throw new AppError('not-found');
  if (outcome.kind === 'refused') throw new AppError('invalid-state', { detail: `The schedule is ${outcome.status}.` });
}

async function requireSchedule(database: Database, target: ScheduleTarget): Promise<ReadSchedule> {
  const found = await readSchedule(database.main, target);
  if (found === undefined) throw new AppError('not-found');
  return found;
}

function keyReused(): AppError {
  return new AppError('idempotency-key-reused', {
    errors: [{ pointer: 'Idempotency-Key', code: 'idempotency-key-reused', message: 'It was used with another body.' }],
  });
}

function targetOf({ params, principal }: Pick<ApiRequest, 'params' | 'principal'>): ScheduleTarget {
  return { scheduleId: (params['id'] ?? '').toLowerCase(), workspace: principal.workspace };
}
