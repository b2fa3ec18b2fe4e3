// Runs a phase that calls a service as if it had a handler: makes and signs the request, sends it, and turns what comes back into the end
// of the attempt. What the retries and time limits are is left to the runner.
import { asAppError, mintCallbackToken, type ClaimedPhase, type Database } from '@millrace/store';
import { DEFAULT_RETRY, durationMs, LIMITS } from '@millrace/shared';
import type { Clock } from '@millrace/process';
import { headerProblems, urlProblems, type HttpDefinition, type HttpMessage, type PhaseContext, type RunDefinition } from '@millrace/sdk';
import { AttemptEnded } from '../outcome.ts';
import type { PhaseCommits } from '../phase-commits.ts';
import { createPost, type Post, type PostAnswer, type PostRequest } from './post-json.ts';
import { readAnswer, type AnswerMeaning } from './read-answer.ts';
import { signatureHeaders, signingKeys } from './sign-message.ts';

export type HttpSettings = {
  /** Where services call back. */
  callbackUrl: string;
  /** Signs requests of phases that have no secret of their own. */
  secret: string | undefined;
};

export type HttpPhases = {
  /** The same phase with a handler that calls its service. */
  asRun(definition: HttpDefinition, phase: ClaimedPhase): RunDefinition;
};

export type HttpPhasesDeps = {
  database: Pick<Database, 'main'>;
  commits: Pick<PhaseCommits, 'awaitCallback'>;
  http: HttpSettings;
  clock: Clock;
  workerId: string;
};

type Call = { deps: HttpPhasesDeps; post: Post; definition: HttpDefinition; phase: ClaimedPhase };
/** A request with the texts in it that nobody else is to read. */
type Prepared = { request: PostRequest; hidden: readonly string[] };

const USER_AGENT = 'millrace';
const CALLBACK_TIMEOUT = '24h';
/** The results that a phase needs may have 64 MiB together; hardly a service takes as much. */
const REQUEST_BYTES_MAX = 16 * 1024 * 1024;
const OTHER_BYTES_MAX = 4_096;
/** Of a Retry-After, at random and on top: those who were sent away together are not to come back together. */
const RETRY_AFTER_JITTER = 0.1;

export function createHttpPhases(deps: HttpPhasesDeps): HttpPhases {
  const post = createPost({ resultBytesMax: LIMITS.outputBytesMax, otherBytesMax: OTHER_BYTES_MAX });
  return {
    asRun: ({ http, ...options }, phase) => {
      const call: Call = { deps, post, definition: { http, ...options }, phase };
      return { ...options, run: (ctx) => callService(call, ctx) };
    },
  };
}

/** @throws AttemptEnded unless the service has answered with a result */
async function callService(call: Call, ctx: PhaseContext): Promise<unknown> {
  const meaning = await ask(call, prepare(call, await messageOf(call, ctx), ctx.signal));
  switch (meaning.kind) {
    case 'output':
      return meaning.output;
    case 'callback':
      throw new AttemptEnded({ kind: 'waiting', committed: await park(call) });
    case 'failed':
      throw failed(meaning);
  }
}

async function messageOf({ deps, definition, phase }: Call, ctx: PhaseContext): Promise<HttpMessage> {
  const right = { phaseId: phase.id, run: phase.run, attempt: phase.attempt, backoff: backoffOf(definition) };
  const token = await mintCallbackToken(deps.database.main, right).catch((error: unknown) => {
    throw asAppError(error);
  });
  return {
    flowId: phase.flowId,
    flow: phase.flow,
    version: phase.version,
    phase: phase.name,
    run: phase.run,
    attempt: phase.attempt,
    idempotencyKey: ctx.idempotencyKey,
    input: ctx.input,
    outputs: ctx.outputs,
    callback: { url: deps.http.callbackUrl, token },
  };
}

function prepare({ deps, definition: { http }, phase }: Call, message: HttpMessage, signal: AbortSignal): Prepared {
  const url = typeof http.url === 'function' ? http.url({ input: message.input, outputs: message.outputs }) : http.url;
  const headers = typeof http.headers === 'function' ? http.headers() : (http.headers ?? {});
  const [problem] = [...urlProblems(url), ...headerProblems(headers)];
  if (problem !== undefined) throw refused('http-request-invalid', problem);
  const secrets = http.secret?.() ?? deps.http.secret ?? '';
  const keys = signingKeys(secrets);
  if (keys === undefined) throw refused('http-unsigned', UNSIGNED[secrets === '' ? 'missing' : 'broken']);
  const body = JSON.stringify(http.body === undefined ? message : http.body(message)) ?? 'null';
  if (Buffer.byteLength(body) > REQUEST_BYTES_MAX)
    throw refused('http-request-too-large', `the request would have more than ${REQUEST_BYTES_MAX} bytes: send references, not contents`);
  const signed = { id: `${message.idempotencyKey}-${phase.attempt}`, sentAtMs: deps.clock.nowMs(), body };
  return {
    request: { url, signal, body, headers: { ...OWN_HEADERS, ...lowerCased(headers), ...signatureHeaders(keys, signed) } },
    hidden: [message.callback.token, ...secrets.split(/\s+/), ...Object.values(headers)],
  };
}

/** `accept` and `user-agent` may be replaced, see urlProblems and headerProblems for what may not. */
const OWN_HEADERS = {
  accept: 'application/json',
  'accept-encoding': 'identity',
  'content-type': 'application/json',
  'user-agent': USER_AGENT,
};
const UNSIGNED = {
  missing: 'there is no secret to sign the request with: give the phase http.secret, or the worker MILLRACE_HTTP_SECRET',
  broken: 'the secret to sign the request with is not whsec_ and 24 to 64 bytes in base64',
};

async function ask({ deps, post }: Call, { request, hidden }: Prepared): Promise<AnswerMeaning> {
  let answer: PostAnswer;
  try {
    answer = await post(request);
  } catch (error) {
    // Whoever told us to stop says what that means.
    if (request.signal.aborted) throw error;
    return { kind: 'failed', code: 'http-network', message: `the service gave no answer: ${reasonOf(error)}`, permanent: false };
  }
  return readAnswer(answer, deps.clock.nowMs(), hidden);
}

function park({ deps, definition, phase }: Call): Promise<boolean> {
  const timeoutMs = durationMs(definition.http.callbackTimeout ?? CALLBACK_TIMEOUT);
  return deps.commits.awaitCallback({ id: phase.id, fence: phase.fence, worker: deps.workerId, timeoutMs, backoff: backoffOf(definition) });
}

function backoffOf(definition: HttpDefinition) {
  return definition.retry?.backoff ?? DEFAULT_RETRY.backoff;
}

function failed({ code, message, permanent, retryAfterMs }: AnswerMeaning & { kind: 'failed' }): AttemptEnded {
  const after = retryAfterMs === undefined ? {} : { retryAfterMs: Math.round(retryAfterMs * (1 + RETRY_AFTER_JITTER * Math.random())) };
  return new AttemptEnded({ kind: 'failed', error: { code, message }, permanent, ...after });
}

/** A request that is never sent, because it would be the same the next time. */
function refused(code: string, message: string): AttemptEnded {
  return failed({ kind: 'failed', code, message, permanent: true });
}

function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

// A message of the system may name addresses, its code does not.
function reasonOf(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  return typeof code === 'string' ? code : typeof message === 'string' ? message : 'unknown';
}
