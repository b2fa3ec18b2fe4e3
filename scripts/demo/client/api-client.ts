// Requests to Millrace's REST interface, over nothing but fetch. Turns problems into errors a person can read; knows no route.
import { z } from 'zod';
import { DemoError } from '../demo-error.ts';

export type ApiRequest = {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: string;
  json?: unknown;
  /** Streamed as it is; the length is not known beforehand. */
  content?: { type: string; chunks: AsyncIterable<string> };
  accept?: string;
  headers?: Record<string, string>;
  /** Statuses of failure that the caller can live with. */
  allow?: readonly number[];
};

export type ApiClient = {
  /** The answer as it came, its body not yet read. @throws DemoError for any status of failure that is not allowed. */
  send(request: ApiRequest): Promise<Response>;
  /** The body, checked. @throws DemoError as `send`, and when the body is not what was expected. */
  get<Schema extends z.ZodType>(request: ApiRequest, schema: Schema): Promise<z.infer<Schema>>;
};

const problemSchema = z.object({
  title: z.string(),
  detail: z.string().optional(),
  code: z.string().optional(),
  errors: z.array(z.object({ pointer: z.string(), message: z.string() })).optional(),
});

export function createApiClient({ baseUrl, key, signal }: { baseUrl: string; key: string; signal: AbortSignal }): ApiClient {
  const send = async (request: ApiRequest): Promise<Response> => {
    const response = await attempt(request, () =>
      fetch(new URL(request.path, baseUrl), {
        ...requestInit(request),
        headers: { ...requestHeaders(request), authorization: `Bearer ${key}` },
        signal,
      }),
    );
    if (response.ok || request.allow?.includes(response.status)) return response;
    throw await problemError(request, response);
  };
  return {
    send,
    async get(request, schema) {
      const response = await send(request);
      const parsed = schema.safeParse(await attempt(request, () => response.json()));
      if (parsed.success) return parsed.data;
      throw new DemoError(
        'failed',
        `The answer to ${request.method} ${request.path} is not what was expected: ${z.prettifyError(parsed.error)}`,
      );
    },
  };
}

type StreamingInit = RequestInit & { duplex?: 'half' };

function requestInit({ method, json, content }: ApiRequest): StreamingInit {
  if (content !== undefined) return { method, body: ReadableStream.from(encode(content.chunks)), duplex: 'half' };
  return json === undefined ? { method } : { method, body: JSON.stringify(json) };
}

function requestHeaders({ json, content, accept, headers }: ApiRequest): Record<string, string> {
  const type = content?.type ?? (json === undefined ? undefined : 'application/json');
  return { accept: accept ?? 'application/json', ...(type === undefined ? {} : { 'content-type': type }), ...headers };
}

async function* encode(chunks: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  for await (const chunk of chunks) yield encoder.encode(chunk);
}

// An abort stays what it is, so that the caller can tell Ctrl-C from a fault.
async function attempt<T>({ method, path }: ApiRequest, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
    const cause = error.cause instanceof Error ? error.cause : error;
    throw new DemoError('unavailable', `${method} ${path} got no usable answer: ${cause.message || cause.name}.`, { cause: error });
  }
}

async function problemError(request: ApiRequest, response: Response): Promise<DemoError> {
  const text = await response.text();
  const parsed = problemSchema.safeParse(readJson(text));
  const what = `${request.method} ${request.path} was answered with ${response.status}`;
  if (!parsed.success) return new DemoError('failed', `${what}.`, text === '' ? {} : { advice: [text.slice(0, 200)] });
  const { title, detail, code, errors = [] } = parsed.data;
  return new DemoError('failed', `${what}${code === undefined ? '' : ` ${code}`}: ${detail ?? title}`, {
    advice: errors.map(({ pointer, message }) => `${pointer}: ${message}`),
  });
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
