// The OpenAPI 3.1 document, made from the routes and their schemas: what is not in a route is not in the document, and the reverse.
import { ERROR_TABLE, problemSchema, type ErrorCode } from '@millrace/shared';
import { z } from 'zod';
import { ACCESS_TABLE, type Access } from '../http/access-table.ts';
import { isApiPath } from '../http/find-caller.ts';
import { RATE_LIMIT_HEADERS } from '../limits/limit-headers.ts';
import { mediaTypesOf, type Route, type RouteBody, type RouteResponse } from '../http/route.ts';
import { createSchemaCollector, type JsonSchema, type SchemaCollector } from './schema-collector.ts';

export type OpenApiDocument = {
  openapi: '3.1.0';
  info: { title: string; version: string; description: string; license: { name: string; identifier: string } };
  servers: { url: string }[];
  security: Record<string, string[]>[];
  tags: { name: string }[];
  paths: Record<string, Record<string, unknown>>;
  components: { securitySchemes: Record<string, unknown>; schemas: Record<string, JsonSchema> };
};

/** Problems that any route may answer with, by what it takes. */
const COMMON_ERRORS: readonly ErrorCode[] = ['method-not-allowed', 'invalid-encoding', 'internal', 'dependency-unavailable'];
const KEY_ERRORS: readonly ErrorCode[] = ['unauthorized', 'insufficient-role'];
const COMMON_HEADERS = { 'X-Request-Id': 'Id of this request, for support' };
const QUERY_ERRORS: readonly ErrorCode[] = ['validation', 'unknown-field', 'nul-character'];
const BODY_ERRORS: readonly ErrorCode[] = [
  'empty-body',
  'malformed-json',
  'request-timeout',
  'payload-too-large',
  'unsupported-media-type',
  'validation',
  'unknown-field',
  'forbidden-key',
  'nul-character',
  'invalid-unicode',
  'too-deep',
];

export function buildDocument(routes: readonly Route[], version: string): OpenApiDocument {
  const schemas = createSchemaCollector();
  const paths: OpenApiDocument['paths'] = {};
  for (const route of routes) paths[route.path] = { ...paths[route.path], [route.method]: operation(route, schemas) };
  return {
    openapi: '3.1.0',
    info: {
      title: 'Millrace',
      version,
      description: 'Durable multi-phase flows and large data imports. Errors are RFC 9457 problems with a stable `code`.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    security: [{ apiKey: [] }],
    tags: [...new Set(routes.map((route) => route.tag))].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: {
        apiKey: { type: 'http', scheme: 'bearer', description: '`Authorization: Bearer mr_…`' },
        callbackToken: { type: 'http', scheme: 'bearer', description: '`Authorization: Bearer mrcb_…`' },
      },
      schemas: schemas.components(),
    },
  };
}

function operation(route: Route, schemas: SchemaCollector): Record<string, unknown> {
  const access = ACCESS_TABLE[route.operationId];
  const parameters = [...pathParameters(route), ...queryParameters(route, schemas), ...headerParameters(route)];
  return {
    operationId: route.operationId,
    summary: route.summary,
    description: [route.description, needsOf(access)].filter(Boolean).join('\n\n'),
    tags: [route.tag],
    ...securityOf(access),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === undefined ? {} : { requestBody: requestBody(route.body, schemas) }),
    responses: { ...successes(route, schemas), ...problems(route, schemas) },
  };
}

function needsOf(access: Access): string {
  if (access === 'public') return '';
  if (access === 'loopback-or-viewer') return 'Open to this machine; others need a key.';
  return access === 'callback-token' ? 'Needs the token of the request that is answered, and no key.' : `Needs the role ${access}.`;
}

/** Of an operation that is not simply opened by a key. */
function securityOf(access: Access): { security?: Record<string, string[]>[] } {
  if (access === 'public') return { security: [] };
  if (access === 'loopback-or-viewer') return { security: [{}, { apiKey: [] }] };
  return access === 'callback-token' ? { security: [{ callbackToken: [] }] } : {};
}

function pathParameters(route: Route): unknown[] {
  return [...route.path.matchAll(/\{([A-Za-z]+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: route.nameParams?.includes(name ?? '') === true ? { type: 'string' } : { type: 'string', format: 'uuid' },
  }));
}

function queryParameters(route: Route, schemas: SchemaCollector): unknown[] {
  if (route.query === undefined) return [];
  const schema = schemas.inline(route.query, 'output');
  const properties = (schema['properties'] ?? {}) as Record<string, JsonSchema>;
  return Object.entries(properties).map(([name, { description, ...property }]) => ({
    name,
    in: 'query',
    required: route.query !== undefined && !isOptional(route.query, name),
    ...(description === undefined ? {} : { description }),
    schema: property,
    // A list in one parameter is separated by commas; one that may be repeated is not.
    ...(property['type'] === 'array' ? { style: 'form', explode: route.repeatable?.includes(name) === true } : {}),
  }));
}

function isOptional(query: z.ZodObject, name: string): boolean {
  const parameter = query.shape[name];
  return parameter === undefined || z.safeParse(parameter, undefined).success;
}

function headerParameters(route: Route): unknown[] {
  return Object.entries(route.headers ?? {}).map(([name, description]) => ({
    name,
    in: 'header',
    required: false,
    description,
    schema: { type: 'string' },
  }));
}

function requestBody(body: RouteBody, schemas: SchemaCollector): unknown {
  switch (body.kind) {
    case 'json':
      return { required: body.optional !== true, content: { 'application/json': { schema: schemas.reference(body.schema, 'input') } } };
    case 'batch': {
      const line = schemas.reference(body.schema, 'input');
      return {
        required: true,
        content: {
          'application/x-ndjson': { schema: line },
          'application/json': { schema: { type: 'array', items: line, minItems: 1, maxItems: 10_000 } },
        },
      };
    }
    case 'bytes':
      return { required: true, content: Object.fromEntries((body.contentTypes ?? ['application/octet-stream']).map((type) => [type, {}])) };
  }
}

function successes(route: Route, schemas: SchemaCollector): Record<string, unknown> {
  return Object.fromEntries(Object.entries(route.responses).map(([status, response]) => [status, success(route, response, schemas)]));
}

function success(route: Route, response: RouteResponse, schemas: SchemaCollector): unknown {
  const schema = response.schema === undefined ? undefined : schemas.reference(response.schema, 'output');
  const types = mediaTypesOf(response);
  const headers = Object.entries({ ...COMMON_HEADERS, ...(isApiPath(route.path) ? RATE_LIMIT_HEADERS : {}), ...response.headers });
  return {
    description: response.description,
    headers: Object.fromEntries(headers.map(([name, description]) => [name, { description, schema: { type: 'string' } }])),
    ...(types.length === 0
      ? {}
      : { content: Object.fromEntries(types.map((type) => [type, schema !== undefined && type.includes('json') ? { schema } : {}])) }),
  };
}

/** Problem codes of a route, the common ones included. */
export function problemCodes(route: Route): ErrorCode[] {
  const access = ACCESS_TABLE[route.operationId];
  return [
    ...new Set([
      ...COMMON_ERRORS,
      ...(access === 'public' ? [] : access === 'callback-token' ? (['unauthorized'] as const) : KEY_ERRORS),
      ...(isApiPath(route.path) ? (['rate-limited'] as const) : []),
      ...(isApiPath(route.path) && Object.values(route.responses).some((response) => mediaTypesOf(response).length > 0)
        ? (['not-acceptable'] as const)
        : []),
      ...(route.query === undefined ? [] : QUERY_ERRORS),
      ...(route.body?.kind === 'json' || route.body?.kind === 'batch' ? BODY_ERRORS : []),
      ...(route.path.includes('{') ? (['not-found'] as const) : []),
      ...route.errors,
    ]),
  ];
}

function problems(route: Route, schemas: SchemaCollector): Record<string, unknown> {
  const problem = schemas.reference(problemSchema, 'output');
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of problemCodes(route)) byStatus.set(ERROR_TABLE[code].status, [...(byStatus.get(ERROR_TABLE[code].status) ?? []), code]);
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      status,
      {
        description: codes.map((code) => `\`${code}\`: ${ERROR_TABLE[code].title}`).join('\n\n'),
        content: {
          'application/problem+json': { schema: { allOf: [problem, { type: 'object', properties: { code: { enum: codes } } }] } },
        },
      },
    ]),
  );
}
