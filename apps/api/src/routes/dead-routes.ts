// Dead letters: list, read and export incidents, replay and purge their phases.
import { Readable } from 'node:stream';
import {
  AppError,
  deadListQuery,
  incidentDetailSchema,
  incidentPageSchema,
  incidentQuery,
  purgeBody,
  purgedSchema,
  replayBody,
  replayedSchema,
} from '@millrace/shared';
import { exportDead, incidentIds, listDeadPhases, listIncidents, type Database, type DeadFilter } from '@millrace/store';
import { deadFilterOf } from '../dead/dead-filter.ts';
import { acceptDeadOperation } from '../dead/dead-operations.ts';
import { EXPORT_FORMS, EXPORT_TYPES, exportTexts, type ExportType } from '../dead/export-lines.ts';
import { deadPhaseAnswer, incidentAnswer } from '../dead/incident-answer.ts';
import { preferredDownload, sendDownload } from '../http/download.ts';
import type { Cursors } from '../http/input/cursors.ts';
import { defineRoute, type RawExchange, type Route } from '../http/route.ts';
import { acceptedReply } from '../operations/operation-answer.ts';
import { IDEMPOTENCY_HEADER } from './flow-routes.ts';

export type DeadRoutesDeps = { database: Database; cursors: Cursors };

const TAG = 'Dead letters';
const ACCEPTED_HEADERS = { Location: 'The operation', 'Idempotency-Replayed': '`true` when this is the answer of an earlier request' };
const KEY_ERRORS = ['idempotency-key-invalid', 'idempotency-in-progress', 'idempotency-key-reused'] as const;

export function deadRoutes(deps: DeadRoutesDeps): Route[] {
  return [listRoute(deps), readRoute(deps), replayRoute(deps), purgeRoute(deps)];
}

function listRoute({ database, cursors }: DeadRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/dead',
    operationId: 'listDead',
    summary: 'List incidents: failed and quarantined phases by cause',
    description:
      'Phases of one flow name and phase name that failed in the same way, ids, numbers and quoted values aside; the last to fail first. With `Accept: application/x-ndjson` or `text/csv` every dead phase of the selection is streamed, with the input of its flow; cells that a spreadsheet would run begin with an apostrophe.',
    tag: TAG,
    query: deadListQuery,
    deadline: 'none',
    responses: {
      200: {
        description: 'A page of incidents; or all their phases',
        schema: incidentPageSchema,
        contentTypes: ['application/json', ...EXPORT_TYPES],
      },
    },
    errors: ['invalid-cursor'],
    handler: async ({ query, headers, principal: { workspace }, raw }) => {
      const { limit, cursor, ...given } = query;
      const filter = deadFilterOf({ filter: given }, workspace);
      const type = preferredDownload(headers, EXPORT_TYPES);
      if (type !== undefined) return sendExport(raw(), { database, filter, type });
      const scope = { workspace, list: 'dead', filter: given };
      const after = cursor === undefined ? undefined : positionOf(await cursors.decode(scope, cursor));
      const found = await listIncidents(database.main, filter, {
        ...(after === undefined ? {} : { after: { lastText: after.text, id: after.id } }),
        limit: limit + 1,
      });
      const page = found.slice(0, limit);
      const last = page.at(-1);
      const nextCursor =
        found.length > page.length && last !== undefined ? await cursors.encode(scope, `${last.id} ${last.last_text}`) : null;
      return { status: 200, body: { items: page.map((incident) => incidentAnswer(incident)), nextCursor } };
    },
  });
}

async function sendExport(
  raw: RawExchange,
  { database, filter, type }: { database: Database; filter: DeadFilter; type: ExportType },
): Promise<void> {
  const { contentType, suffix } = EXPORT_FORMS[type];
  await sendDownload(raw, {
    contentType,
    fileName: `dead-letters.${suffix}`,
    open: async () => {
      const incidents = await incidentIds(database.main, filter);
      return Readable.from(exportTexts(exportDead(database.main, { ...filter, incidents, until: 'infinity' }), type));
    },
  });
}

function readRoute({ database, cursors }: DeadRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/dead/{id}',
    operationId: 'readDead',
    summary: 'Read an incident with its phases',
    description: 'An incident is there as long as one of its phases is dead.',
    tag: TAG,
    query: incidentQuery,
    responses: { 200: { description: 'The incident and a page of its phases, the last to fail first', schema: incidentDetailSchema } },
    errors: ['not-found', 'invalid-cursor'],
    handler: async ({ params, query: { limit, cursor }, principal: { workspace } }) => {
      const id = (params['id'] ?? '').toLowerCase();
      const scope = { workspace, list: 'dead-phases', filter: id };
      const after = cursor === undefined ? undefined : positionOf(await cursors.decode(scope, cursor));
      const [incident] = await listIncidents(database.main, { workspace, incidents: [id] }, { limit: 1 });
      if (incident === undefined) throw new AppError('not-found');
      const found = await listDeadPhases(
        database.main,
        { workspace, id },
        { ...(after === undefined ? {} : { after: { finishedText: after.text, id: after.id } }), limit: limit + 1 },
      );
      const page = found.slice(0, limit);
      const last = page.at(-1);
      const nextCursor =
        found.length > page.length && last !== undefined ? await cursors.encode(scope, `${last.id} ${last.finished_text}`) : null;
      return { status: 200, body: { ...incidentAnswer(incident), phases: page.map((phase) => deadPhaseAnswer(phase)), nextCursor } };
    },
  });
}

// Cursors are signed, so what they hold is what was written into them.
function positionOf(position: string): { id: string; text: string } {
  const blank = position.indexOf(' ');
  return { id: position.slice(0, blank), text: position.slice(blank + 1) };
}

function replayRoute({ database }: DeadRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: '/v1/dead/replay',
    operationId: 'replayDead',
    summary: 'Replay dead phases',
    description:
      'Opens a new run of the flow of each selected phase, once for several phases of one flow; flows that have not failed as a whole are skipped. Carried out as an operation, at a rate. With `canary` (on for more than five flows unless said) five flows drawn at random go first, then five, ten, twenty and so on, each step after the one before has been judged; it stops by itself when the same failure returns more than once in twenty runs, or more than 5 % of the runs later.',
    tag: TAG,
    headers: IDEMPOTENCY_HEADER,
    body: { kind: 'json', schema: replayBody },
    responses: {
      202: { description: 'How many, and the operation that carries it out', schema: replayedSchema, headers: ACCEPTED_HEADERS },
    },
    errors: KEY_ERRORS,
    handler: async (request) =>
      acceptedReply(await acceptDeadOperation(database, request, 'replay'), {
        schema: replayedSchema,
        locate: ({ operation }) => operation.links.self,
      }),
  });
}

function purgeRoute({ database }: DeadRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: '/v1/dead/purge',
    operationId: 'purgeDead',
    summary: 'Take dead phases off the list',
    description:
      'Their flows stay as they are. A phase that fails again later is listed again. Carried out as an operation, which says who asked for it.',
    tag: TAG,
    headers: IDEMPOTENCY_HEADER,
    body: { kind: 'json', schema: purgeBody },
    responses: { 202: { description: 'How many, and the operation that carries it out', schema: purgedSchema, headers: ACCEPTED_HEADERS } },
    errors: KEY_ERRORS,
    handler: async (request) =>
      acceptedReply(await acceptDeadOperation(database, request, 'purge'), {
        schema: purgedSchema,
        locate: ({ operation }) => operation.links.self,
      }),
  });
}
