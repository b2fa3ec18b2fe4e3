// Make imports, send their content, watch, cancel and retry them, and read what was rejected.
import { importOptions } from '@millrace/imports';
import {
  acceptedContentSchema,
  AppError,
  createdImportSchema,
  fieldError,
  importBodySchema,
  importListQuery,
  importListSchema,
  importSchema,
  plainListQuery,
  rejectListSchema,
  type ImportBody,
  type ImportListQuery,
} from '@millrace/shared';
import {
  createImport,
  exportRejects,
  listImports,
  readDataset,
  readImport,
  readRejects,
  type CreatedImport,
  type Database,
  type ImportActionOutcome,
  type ImportOptions,
  type StoredImport,
} from '@millrace/store';
import type { Clock } from '@millrace/process';
import type { Cursors } from '../http/input/cursors.ts';
import { bodyHashOf, idempotencyKeyOf, replayedBody } from '../http/input/idempotency-key.ts';
import { defineRoute, type ApiReply, type ApiRequest, type Route } from '../http/route.ts';
import { sendCsv, wantsCsv } from '../uploads/csv-reply.ts';
import type { ImportActions, ImportTarget } from '../uploads/import-actions.ts';
import { importAnswer, importLinks } from '../uploads/import-answers.ts';
import type { UploadReceiver } from '../uploads/receive-upload.ts';

export type ImportRoutesDeps = {
  database: Database;
  cursors: Cursors;
  clock: Clock;
  receive: UploadReceiver;
  actions: Pick<ImportActions, 'cancel' | 'retry'>;
  /** Of the bytes as they are sent. */
  uploadBytesMax: number;
};

const TAG = 'Imports';
const PATH = '/v1/imports/{id}';
const CREATE_SCOPE = 'POST /v1/imports';
const IDEMPOTENCY_HEADER = {
  'Idempotency-Key': 'Optional; 1 to 255 visible ASCII characters. The same key and body again within 24 h answer with the first result.',
};

export function importRoutes(deps: ImportRoutesDeps): Route[] {
  return [
    createRoute(deps),
    listRoute(deps),
    readRoute(deps),
    contentRoute(deps),
    rejectsRoute(deps),
    actionRoute(deps, 'cancel'),
    actionRoute(deps, 'retry'),
  ];
}

function createRoute({ database }: ImportRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: '/v1/imports',
    operationId: 'createImport',
    summary: 'Make an import that waits for its content',
    tag: TAG,
    headers: IDEMPOTENCY_HEADER,
    body: { kind: 'json', schema: importBodySchema },
    responses: {
      201: {
        description: 'The import; send the content next',
        schema: createdImportSchema,
        headers: { Location: 'The import', 'Idempotency-Replayed': '`true` when this is the answer of an earlier request' },
      },
    },
    errors: ['idempotency-key-invalid', 'idempotency-in-progress', 'idempotency-key-reused', 'unknown-dataset'],
    handler: async ({ body, headers, principal }) => {
      const key = idempotencyKeyOf(headers);
      const { mode, options } = await checkAgainstDataset(database, principal.workspace, body);
      const created = await createImport(database, {
        workspace: principal.workspace,
        createdBy: principal.keyId,
        dataset: body.dataset,
        mode,
        format: body.format,
        options,
        idempotency: key === null ? null : { route: CREATE_SCOPE, key, bodyHash: bodyHashOf(body) },
        respond: (id) => ({
          status: 201,
          body: { id, dataset: body.dataset, mode, status: 'awaiting_content', links: importLinks({ id, dataset: body.dataset }) },
        }),
      });
      return createdReply(created);
    },
  });
}

async function checkAgainstDataset(
  database: Database,
  workspace: string,
  body: ImportBody,
): Promise<{ mode: StoredImport['mode']; options: ImportOptions }> {
  const dataset = await readDataset(database.main, { workspace, name: body.dataset });
  if (dataset === undefined) throw fieldError('unknown-dataset', '/dataset', 'No dataset has this name.');
  return { mode: body.mode, options: importOptions(body, dataset) };
}

function createdReply(created: CreatedImport): ApiReply {
  if (created.kind === 'key-reused')
    throw new AppError('idempotency-key-reused', {
      errors: [{ pointer: 'Idempotency-Key', code: 'idempotency-key-reused', message: 'It was used with another body.' }],
    });
  const location = (created.body as { links: { self: string } }).links.self;
  if (created.kind === 'created') return { status: created.status, body: created.body, headers: { location } };
  return {
    status: created.status,
    body: replayedBody(createdImportSchema, created.body),
    headers: { location, 'idempotency-replayed': 'true' },
  };
}

function listRoute({ database, cursors, clock }: ImportRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/imports',
    operationId: 'listImports',
    summary: 'List imports, newest first',
    tag: TAG,
    query: importListQuery,
    responses: { 200: { description: 'A page of imports', schema: importListSchema } },
    errors: ['invalid-cursor'],
    handler: async ({ query, principal: { workspace } }) => {
      const scope = { workspace, list: 'imports', filter: { dataset: query.dataset, status: query.status } };
      const before = query.cursor === undefined ? undefined : await cursors.decode(scope, query.cursor);
      const found = await listImports(database.main, {
        workspace,
        ...filterOf(query),
        ...(before === undefined ? {} : { before }),
        limit: query.limit + 1,
      });
      const page = found.slice(0, query.limit);
      const last = page.at(-1);
      const nextCursor = found.length > page.length && last !== undefined ? await cursors.encode(scope, last.id) : null;
      return { status: 200, body: { items: page.map((one) => importAnswer(one, clock.nowMs())), nextCursor } };
    },
  });
}

function filterOf({ dataset, status }: ImportListQuery) {
  return { ...(dataset === undefined ? {} : { dataset }), ...(status === undefined ? {} : { statuses: status }) };
}

function readRoute({ database, clock }: ImportRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: PATH,
    operationId: 'readImport',
    summary: 'Read an import: where it stands, what it has loaded, and why it failed if it did',
    tag: TAG,
    responses: { 200: { description: 'The import', schema: importSchema } },
    errors: ['not-found'],
    handler: async (request) => ({ status: 200, body: importAnswer(await requireImport(database, targetOf(request)), clock.nowMs()) }),
  });
}

function contentRoute({ receive, uploadBytesMax }: ImportRoutesDeps): Route {
  return defineRoute({
    method: 'put',
    path: `${PATH}/content`,
    operationId: 'putImportContent',
    summary: 'Send the content of an import',
    description: [
      'The bytes of the file as they are; gzip and zstd are recognised by Content-Encoding or by their first bytes. Answered once the file is stored and its first chunk is queued.',
      'Faults of the file as a whole other than the errors listed here do not show in this answer: the import has `failed`, with its `error`. The same content again is answered with 200.',
    ].join(' '),
    tag: TAG,
    body: { kind: 'bytes', maxBytes: uploadBytesMax },
    deadline: 'none',
    responses: {
      200: { description: 'This very content is there already', schema: acceptedContentSchema },
      202: { description: 'Received', schema: acceptedContentSchema },
    },
    errors: [
      'not-found',
      'invalid-state',
      'payload-too-large',
      'unsupported-media-type',
      'unsupported-file',
      'empty-file',
      'request-timeout',
      'insufficient-storage',
    ],
    handler: async (request) => {
      if (request.headers['content-type']?.toLowerCase().startsWith('multipart/') === true)
        throw new AppError('unsupported-media-type', { detail: 'Send the bytes of the file themselves, not a form.' });
      return receive({ ...targetOf(request), req: request.raw().req, signal: request.signal() });
    },
  });
}

function rejectsRoute({ database, cursors }: ImportRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: `${PATH}/rejects`,
    operationId: 'readImportRejects',
    summary: 'Read the rows that were not loaded and why, as pages or as one CSV',
    description:
      'By line. The count is exact, the list is kept up to 100,000 rows. With `Accept: text/csv` all kept ones are streamed; cells that a spreadsheet would run begin with an apostrophe.',
    tag: TAG,
    query: plainListQuery,
    deadline: 'none',
    responses: {
      200: {
        description: 'A page of rejects; or all of them as CSV',
        schema: rejectListSchema,
        contentTypes: ['application/json', 'text/csv'],
      },
    },
    errors: ['not-found', 'invalid-cursor'],
    handler: async (request) => {
      const { query } = request;
      const target = targetOf(request);
      const scope = { workspace: target.workspace, list: 'rejects', filter: target.importId };
      const after = query.cursor === undefined ? 0 : Number(await cursors.decode(scope, query.cursor));
      const found = await requireImport(database, target);
      if (wantsCsv(request.headers)) return sendCsv(request.raw(), `rejects-${found.id}`, () => exportRejects(database, found.id));
      const rejects = await readRejects(database.main, { importId: found.id, after, limit: query.limit + 1 });
      const items = rejects.slice(0, query.limit);
      const last = items.at(-1);
      const nextCursor = rejects.length > items.length && last !== undefined ? await cursors.encode(scope, String(last.line)) : null;
      return { status: 200, body: { items, nextCursor, total: found.rows_rejected, truncated: found.rows_rejected > found.rejects_kept } };
    },
  });
}

const ACTIONS = {
  cancel: { operationId: 'cancelImport', summary: 'Cancel an import', description: 'At once. Rows of chunks that are done stay.' },
  retry: {
    operationId: 'retryImport',
    summary: 'Let a failed import go on from its last checkpoint',
    description: 'Refused where the file itself is at fault.',
  },
} as const;

function actionRoute({ database, actions, clock }: ImportRoutesDeps, action: keyof typeof ACTIONS): Route {
  return defineRoute({
    method: 'post',
    path: `${PATH}/${action}`,
    ...ACTIONS[action],
    tag: TAG,
    responses: { 202: { description: 'The import as it stands now', schema: importSchema } },
    errors: ['not-found', 'invalid-state'],
    handler: async (request) => {
      const target = targetOf(request);
      requireDone(await (action === 'cancel' ? actions.cancel({ ...target, by: request.principal.keyId }) : actions.retry(target)));
      return {
        status: 202,
        body: importAnswer(await requireImport(database, target), clock.nowMs()),
        headers: { location: `/v1/imports/${target.importId}` },
      };
    },
  });
}

function requireDone(outcome: ImportActionOutcome): void {
  if (outcome.kind === 'not-found') throw new AppError('not-found');
  if (outcome.kind === 'refused')
    throw new AppError('invalid-state', { detail: `The import is ${outcome.status}. ${outcome.reason ?? ''}`.trim() });
}

async function requireImport(database: Database, target: ImportTarget): Promise<StoredImport> {
  const found = await readImport(database.main, target);
  if (found === undefined) throw new AppError('not-found');
  return found;
}

function targetOf({ params, principal }: Pick<ApiRequest, 'params' | 'principal'>): ImportTarget {
  return { importId: (params['id'] ?? '').toLowerCase(), workspace: principal.workspace };
}
