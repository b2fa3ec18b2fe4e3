// Define, read, evolve and delete datasets, and read their rows.
import {
  AppError,
  datasetBodySchema,
  datasetListSchema,
  datasetNameSchema,
  datasetRowsSchema,
  datasetSchema,
  fieldError,
  plainListQuery,
  type DatasetBody,
} from '@millrace/shared';
import {
  dropDataset,
  exportRows,
  listDatasets,
  putDataset,
  readDataset,
  readRows,
  type Database,
  type StoredDataset,
} from '@millrace/store';
import { assertPattern } from '@millrace/tabular';
import type { Cursors } from '../http/input/cursors.ts';
import { defineRoute, type ApiRequest, type Route } from '../http/route.ts';
import { sendCsv, wantsCsv } from '../uploads/csv-reply.ts';
import { datasetAnswer } from '../uploads/import-answers.ts';

export type DatasetRoutesDeps = { database: Database; cursors: Cursors };

const TAG = 'Datasets';
const PATH = '/v1/datasets/{name}';
const NAME_PARAMS = ['name'];

export function datasetRoutes(deps: DatasetRoutesDeps): Route[] {
  return [listRoute(deps), readRoute(deps), putRoute(deps), deleteRoute(deps), rowsRoute(deps)];
}

function listRoute({ database, cursors }: DatasetRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/datasets',
    operationId: 'listDatasets',
    summary: 'List datasets by name',
    tag: TAG,
    query: plainListQuery,
    responses: { 200: { description: 'A page of datasets', schema: datasetListSchema } },
    errors: ['invalid-cursor'],
    handler: async ({ query, principal: { workspace } }) => {
      const scope = { workspace, list: 'datasets', filter: null };
      const after = query.cursor === undefined ? null : await cursors.decode(scope, query.cursor);
      const found = await listDatasets(database.main, { workspace, after, limit: query.limit + 1 });
      const page = found.slice(0, query.limit);
      const last = page.at(-1);
      const nextCursor = found.length > page.length && last !== undefined ? await cursors.encode(scope, last.name) : null;
      return { status: 200, body: { items: page.map((dataset) => datasetAnswer(dataset)), nextCursor } };
    },
  });
}

function readRoute({ database }: DatasetRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: PATH,
    operationId: 'readDataset',
    summary: 'Read the definition of a dataset',
    tag: TAG,
    nameParams: NAME_PARAMS,
    responses: { 200: { description: 'The dataset', schema: datasetSchema } },
    errors: ['not-found'],
    handler: async (request) => ({ status: 200, body: datasetAnswer(await requireDataset(database, request)) }),
  });
}

function putRoute({ database }: DatasetRoutesDeps): Route {
  return defineRoute({
    method: 'put',
    path: PATH,
    operationId: 'putDataset',
    summary: 'Create a dataset, or evolve it',
    description:
      'Optional columns may be added and rules of columns changed; they hold for rows imported from then on. A change of type or key or a removal is refused.',
    tag: TAG,
    nameParams: NAME_PARAMS,
    body: { kind: 'json', schema: datasetBodySchema },
    responses: {
      200: { description: 'The evolved dataset', schema: datasetSchema },
      201: { description: 'The new dataset', schema: datasetSchema, headers: { Location: 'The dataset' } },
    },
    errors: ['invalid-state'],
    handler: async ({ params, body, principal }) => {
      const name = datasetNameSchema.safeParse(params['name']);
      if (!name.success)
        throw fieldError('validation', 'name', 'must be 1 to 63 lower-case letters, digits and underscores, beginning with a letter');
      requirePatterns(body);
      const { created, dataset } = await putDataset(database, {
        workspace: principal.workspace,
        name: name.data,
        createdBy: principal.keyId,
        definition: body,
      });
      const answer = datasetAnswer(dataset);
      return created ? { status: 201, body: answer, headers: { location: answer.links.self } } : { status: 200, body: answer };
    },
  });
}

// Only the parser knows which patterns it can run.
function requirePatterns({ columns }: DatasetBody): void {
  for (const [index, { pattern }] of columns.entries()) {
    if (pattern === undefined) continue;
    try {
      assertPattern(pattern);
    } catch (error) {
      const message = 'must be a regular expression in RE2 syntax';
      throw new AppError(
        'validation',
        { detail: message, errors: [{ pointer: `/columns/${index}/pattern`, code: 'validation', message }] },
        { cause: error },
      );
    }
  }
}

function deleteRoute({ database }: DatasetRoutesDeps): Route {
  return defineRoute({
    method: 'delete',
    path: PATH,
    operationId: 'deleteDataset',
    summary: 'Delete a dataset with all its rows',
    tag: TAG,
    nameParams: NAME_PARAMS,
    responses: { 204: { description: 'Deleted' } },
    errors: ['not-found', 'invalid-state'],
    handler: async ({ params, principal }) => {
      const outcome = await dropDataset(database, { workspace: principal.workspace, name: params['name'] ?? '' });
      if (outcome.kind === 'not-found') throw new AppError('not-found');
      if (outcome.kind === 'busy') throw new AppError('invalid-state', { detail: `The import ${outcome.importId} into it is under way.` });
      return { status: 204 };
    },
  });
}

/** Where a page of rows begins. A dataset that was made anew under its name is another one. */
type RowPosition = { dataset: string; after: readonly string[] };

function rowsRoute({ database, cursors }: DatasetRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: `${PATH}/rows`,
    operationId: 'readDatasetRows',
    summary: 'Read the rows of a dataset, as pages or as one CSV',
    description:
      'In the order of the key. With `Accept: text/csv` the whole dataset is streamed; cells that a spreadsheet would run begin with an apostrophe.',
    tag: TAG,
    nameParams: NAME_PARAMS,
    query: plainListQuery,
    deadline: 'none',
    responses: {
      200: {
        description: 'A page of rows; or all of them as CSV',
        schema: datasetRowsSchema,
        contentTypes: ['application/json', 'text/csv'],
      },
    },
    errors: ['not-found', 'invalid-cursor'],
    handler: async (request) => {
      const { query, headers, raw } = request;
      const scope = { workspace: request.principal.workspace, list: 'rows', filter: request.params['name'] };
      const position = query.cursor === undefined ? null : (JSON.parse(await cursors.decode(scope, query.cursor)) as RowPosition);
      const dataset = await requireDataset(database, request);
      if (position !== null && position.dataset !== dataset.id) throw new AppError('invalid-cursor');
      if (wantsCsv(headers)) return sendCsv(raw(), dataset.name, () => exportRows(database, dataset));
      const page = await readRows(database.main, dataset, { after: position?.after ?? null, limit: query.limit });
      const next = (after: readonly string[]) =>
        cursors.encode(scope, JSON.stringify({ dataset: dataset.id, after } satisfies RowPosition));
      const nextCursor = page.position === null ? null : await next(page.position);
      // Rows are JSON already, with every digit.
      const body = `{"items":[${page.json.join(',')}],"nextCursor":${JSON.stringify(nextCursor)}}`;
      return { status: 200, body, headers: { 'content-type': 'application/json' } };
    },
  });
}

async function requireDataset(database: Database, { params, principal }: Pick<ApiRequest, 'params' | 'principal'>): Promise<StoredDataset> {
  const dataset = await readDataset(database.main, { workspace: principal.workspace, name: params['name'] ?? '' });
  if (dataset === undefined) throw new AppError('not-found');
  return dataset;
}
