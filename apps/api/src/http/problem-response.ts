// The only place where an error becomes an HTTP answer: application/problem+json (RFC 9457), without stack and without unescaped input.
import type { ServerResponse } from 'node:http';
import { AppError, ERROR_TABLE, PROBLEM_TYPE_BASE, type ErrorCode, type FieldError } from '@millrace/shared';
import type { Logger } from '@millrace/process';
import { removeLimitHeaders } from '../limits/limit-headers.ts';
import { asAppError } from '@millrace/store';

export type Problem = {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  code: ErrorCode;
  errors?: readonly FieldError[];
  requestId: string;
};

/** Answers that HTTP names and the error table does not: they are told by their status, under the nearest code. */
type StatusOverride = 414 | 431;

export type ProblemContext = { requestId: string; log: Logger; status?: StatusOverride };

/** The problem for an error. What is not an AppError is a fault of ours: logged with the request id, told without detail. */
export function toProblem(error: unknown, context: ProblemContext): Problem {
  const known = asAppError(error);
  const failure = known instanceof AppError ? known : new AppError('internal', {}, { cause: error });
  const row = ERROR_TABLE[failure.code];
  if (row.status >= 500) report(failure, context);
  return {
    type: `${PROBLEM_TYPE_BASE}${failure.code}`,
    title: row.title,
    status: context.status ?? row.status,
    detail: failure.details.detail ?? row.title,
    instance: `urn:uuid:${context.requestId}`,
    code: failure.code,
    ...(row.status === 422 ? { errors: failure.details.errors ?? [{ pointer: '', code: failure.code, message: failure.message }] } : {}),
    requestId: context.requestId,
  };
}

/** Answers with the problem. Does nothing but cut the connection when an answer has already begun. */
export function sendProblem(response: ServerResponse, error: unknown, context: ProblemContext): void {
  const problem = toProblem(error, context);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = escapedJson(problem);
  // What we could not do says nothing about what the caller may do.
  if (problem.status >= 500) removeLimitHeaders(response);
  response.writeHead(problem.status, {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    ...problemHeaders(error, { problem, response }),
  });
  response.end(body);
}

function problemHeaders(error: unknown, { problem, response }: { problem: Problem; response: ServerResponse }): Record<string, string> {
  const details = error instanceof AppError ? error.details : {};
  const headers: Record<string, string> = {};
  const retryAfterSeconds = details.retryAfterSeconds ?? ([429, 503, 507].includes(problem.status) ? 2 : undefined);
  if (retryAfterSeconds !== undefined) headers['retry-after'] = String(Math.max(1, Math.ceil(retryAfterSeconds)));
  if (problem.status === 405) headers['allow'] = (details.allow ?? []).join(', ');
  if (problem.status === 401 && !response.hasHeader('www-authenticate')) headers['www-authenticate'] = 'Bearer realm="Millrace"';
  // Whoever could not send a request in time has a connection nobody can use any more.
  if (problem.status === 408) headers['connection'] = 'close';
  return headers;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
};

/** JSON in which no text can be mistaken for markup, whatever reads it. */
export function escapedJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[<>&\u2028\u2029]/g, (character) => ESCAPES[character] ?? '');
}

function report(failure: AppError, context: ProblemContext): void {
  const line = { err: failure.cause ?? failure, requestId: context.requestId, code: failure.code };
  if (failure.code === 'internal') context.log.error(line, 'request failed');
  // Nobody but the operator can mend it, and he hears of it here first.
  else if (failure.code === 'insufficient-storage') context.log.error(line, 'there is no room for what was sent');
  else context.log.debug(line, 'request could not be served');
}
