// What a route is: everything the server, the access check and the OpenAPI document need to know about it, in one value.
// Route files export `xRoutes(deps): Route[]`; create-app.ts serves them.
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { ErrorCode, Principal } from '@millrace/shared';
import type { z } from 'zod';
import type { OperationId } from './access-table.ts';

/** The raw pair, for handlers that stream. Security headers and X-Request-Id are already set on `res`. */
export type RawExchange = { req: IncomingMessage; res: ServerResponse };

export type PublicRequest<Query = unknown, Body = unknown> = {
  requestId: string;
  /** Decoded path parameters by name. An id that is no UUID was answered with 404 before the handler. */
  params: Readonly<Record<string, string>>;
  /** Parsed by the route's query schema; an empty object when it has none. */
  query: Query;
  /** Parsed by the route's body schema; undefined when it takes none or takes `bytes`. */
  body: Body;
  headers: IncomingHttpHeaders;
  /** Whether nobody waits for the answer any more: the client is gone or the deadline passed. */
  isAbandoned(): boolean;
  /** Aborts when that happens. */
  signal(): AbortSignal;
  raw(): RawExchange;
};

export type ApiRequest<Query = unknown, Body = unknown> = PublicRequest<Query, Body> & { principal: Principal };

/** An answer. `body` is sent as JSON unless it is a string or bytes, which need a `content-type` header. No body: `undefined`. */
export type ApiReply = { status: number; body?: unknown; headers?: Readonly<Record<string, string>> };

/** One line of a batch, parsed as JSON within the limits but not yet validated, or what is wrong with it. */
export type BatchLine = { ok: true; value: unknown } | { ok: false; error: Error };

export type RouteBody =
  /** `application/json` up to `maxBytes` (default 1 MiB), checked by the schema. Objects should be `z.strictObject`. */
  | { kind: 'json'; schema: z.ZodType; maxBytes?: number; /** A request without a body counts as `{}`. */ optional?: true }
  /** `application/x-ndjson`, or `application/json` holding an array. The handler gets `BatchLine[]`; `schema` is one line, for the document. */
  | { kind: 'batch'; schema: z.ZodType }
  /** Not read: the handler consumes `raw.req` and bounds its time. Over `maxBytes` by Content-Length: 413 before the handler. */
  | { kind: 'bytes'; contentTypes?: readonly string[]; maxBytes?: number };

export type RouteResponse = {
  description: string;
  /** Of the JSON body. */
  schema?: z.ZodType;
  /** Default `application/json` when there is a schema. */
  contentTypes?: readonly string[];
  headers?: Readonly<Record<string, string>>;
};

export type Route = {
  method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** OpenAPI style: `/v1/flows/{id}`. */
  path: string;
  /** Key of ACCESS_TABLE, which says who may call it. */
  operationId: OperationId;
  summary: string;
  description?: string;
  tag: string;
  /** All parameters are optional or have defaults unless the schema says otherwise; unknown ones are 422. Parse text, not numbers. */
  query?: z.ZodObject;
  /** Query parameters that may be given more than once: the schema gets an array. Others given twice are 422. */
  repeatable?: readonly string[];
  /** Request headers for the document, beyond Authorization: name -> description. */
  headers?: Readonly<Record<string, string>>;
  /** Path parameters that need not be UUIDs (names). Any other that is no UUID is 404. */
  nameParams?: readonly string[];
  body?: RouteBody;
  responses: Readonly<Record<number, RouteResponse>>;
  /** Problem codes beyond those that every route has (authentication, method, parameters, internal, dependency). */
  errors: readonly ErrorCode[];
  /** HEAD is answered like GET without a body, unless refused with 405: always, or when Accept asks for text/event-stream. */
  head?: 'refused' | 'refused-for-event-stream';
  /** `none`: no 10 s limit (uploads, streams, downloads). Default `standard`. */
  deadline?: 'standard' | 'none';
  /** Answers, or returns nothing when it wrote to `raw.res` itself. Throws AppError for problems; after headers are sent a throw cuts the connection. */
  handler(request: ApiRequest): Promise<ApiReply | void>;
};

type Parsed<Schema> = Schema extends z.ZodType ? z.output<Schema> : Record<string, never>;
type ParsedBody<Body> = Body extends { kind: 'json'; schema: infer Schema }
  ? Parsed<Schema>
  : Body extends { kind: 'batch' }
    ? BatchLine[]
    : undefined;

type RouteSpec<Query, Body, Request> = Omit<Route, 'query' | 'body' | 'handler'> & {
  query?: Query;
  body?: Body;
  handler(request: Request): Promise<ApiReply | void>;
};

/** Declares a route whose handler gets its query and body typed by the schemas. */
export function defineRoute<const Query extends z.ZodObject | undefined = undefined, const Body extends RouteBody | undefined = undefined>(
  spec: RouteSpec<Query, Body, ApiRequest<Parsed<Query>, ParsedBody<Body>>>,
): Route {
  // The server parses with these very schemas before it calls the handler, so the types may be forgotten here.
  return spec as unknown as Route;
}

/** The same for routes that the access table opens to anybody: there is no principal. */
export function definePublicRoute<const Query extends z.ZodObject | undefined = undefined>(
  spec: RouteSpec<Query, undefined, PublicRequest<Parsed<Query>, undefined>>,
): Route {
  return spec as unknown as Route;
}

/** The media types of an answer. Empty when it has no content. */
export function mediaTypesOf({ contentTypes, schema }: RouteResponse): readonly string[] {
  return contentTypes ?? (schema === undefined ? [] : ['application/json']);
}
