// The document and the routes say the same, and the document is one that tools can use.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ERROR_TABLE } from '@millrace/shared';
import { ask } from '../test-support/ask.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';
import { problemCodes, type OpenApiDocument } from './build-document.ts';

type Operation = {
  operationId: string;
  responses: Record<string, { content?: Record<string, unknown> }>;
  parameters?: { name: string; in: string; required: boolean }[];
  requestBody?: unknown;
};
let api: TestApi;
let document: OpenApiDocument;
beforeAll(async () => {
  api = await startTestApi();
  document = (await ask(api, { path: '/openapi.json', key: null })).json as unknown as OpenApiDocument;
});
afterAll(() => api.stop());

const operations = (): [path: string, method: string, operation: Operation][] =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, string, Operation] => [path, method, operation as Operation]),
  );

describe('the OpenAPI document', () => {
  it('has every route and nothing else', () => {
    const documented = operations().map(([path, method, operation]) => `${method} ${path} ${operation.operationId}`);
    const registered = api.routes.map((route) => `${route.method} ${route.path} ${route.operationId}`);
    expect(documented.toSorted()).toEqual(registered.toSorted());
  });

  it('names every path and query parameter, body and problem of a route', () => {
    for (const route of api.routes) {
      const operation = (document.paths[route.path] ?? {})[route.method] as Operation;
      const names = (operation.parameters ?? []).filter((parameter) => parameter.in !== 'header').map((parameter) => parameter.name);
      const expected = [...[...route.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]), ...Object.keys(route.query?.shape ?? {})];
      expect({ route: route.operationId, names }).toEqual({ route: route.operationId, names: expected });
      expect({ route: route.operationId, body: operation.requestBody !== undefined }).toEqual({
        route: route.operationId,
        body: route.body !== undefined,
      });
      for (const code of problemCodes(route))
        expect(operation.responses[String(ERROR_TABLE[code].status)]?.content).toHaveProperty(['application/problem+json']);
    }
  });

  it('refers only to components that exist', () => {
    const text = JSON.stringify(document);
    const names = [...text.matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(names.length).toBeGreaterThan(10);
    for (const name of names) expect(document.components.schemas).toHaveProperty([name.replace('#/components/schemas/', '')]);
    expect(document.components.schemas).toHaveProperty('Problem');
  });

  it('tells what may be left out', () => {
    const list = document.paths['/v1/flows']?.['get'] as Operation;
    expect((list.parameters ?? []).filter((parameter) => parameter.required)).toEqual([]);
  });

  it('is shown by a page whose files are all ours', async () => {
    const page = await ask(api, { path: '/docs', key: null });
    expect(page.text).not.toMatch(/https?:\/\//);
    for (const [, file] of page.text.matchAll(/(?:src|href)="(\/docs\/[^"]+)"/g))
      expect({ file, status: (await ask(api, { path: file ?? '', key: null })).status }).toEqual({ file, status: 200 });
    expect((await ask(api, { path: '/docs/package.json', key: null })).status).toBe(404);
    expect((await ask(api, { path: '/docs/..%2fpackage.json', key: null })).status).toBe(404);
  });
});
