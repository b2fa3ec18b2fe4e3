// What the answer of a service means for the attempt: a result, a promise to call back, or a failure and whether to try again. Pure.
import { LIMITS } from '@millrace/shared';
import type { PostAnswer } from './post-json.ts';
import { redact } from './redact.ts';
import { retryAfterMs } from './retry-after.ts';

export type AnswerMeaning =
  | { kind: 'output'; output: unknown }
  | { kind: 'callback' }
  | { kind: 'failed'; code: string; message: string; permanent: boolean; retryAfterMs?: number };

const ACCEPTED = 202;
/** Beside 5xx: the request took too long, came too early, or was one too many. */
const RETRYABLE = new Set([408, 425, 429]);
const EXCERPT_CHARS_MAX = 300;

/**
 * 2xx: JSON as its media type says, other text as a string, nothing as null; 202: the result comes by callback. 408, 425, 429 and 5xx try
 * again. Everything else will not get better by itself.
 * @param hidden texts that are not to appear in the message of a failure
 */
export function readAnswer(answer: PostAnswer, nowMs: number, hidden: readonly string[] = []): AnswerMeaning {
  if (answer.status === ACCEPTED) return { kind: 'callback' };
  return answer.status >= 200 && answer.status < 300 ? result(answer) : refusal(answer, nowMs, hidden);
}

function result({ contentType, bytes, isCut }: PostAnswer): AnswerMeaning {
  if (isCut) {
    const message = `the answer of the service is larger than ${LIMITS.outputBytesMax} bytes`;
    return { kind: 'failed', code: 'http-answer-too-large', message, permanent: true };
  }
  if (bytes.length === 0) return { kind: 'output', output: null };
  const text = decode(bytes);
  if (text === undefined) return unreadable('the answer of the service is neither JSON nor text in UTF-8');
  if (contentType === undefined) return { kind: 'output', output: parse(text) ?? text };
  if (!isJson(contentType)) return { kind: 'output', output: text };
  const output = parse(text);
  return output === undefined ? unreadable('the service says that its answer is JSON, but it is not') : { kind: 'output', output };
}

function unreadable(message: string): AnswerMeaning {
  return { kind: 'failed', code: 'http-answer-invalid', message, permanent: false };
}

function refusal(answer: PostAnswer, nowMs: number, hidden: readonly string[]): AnswerMeaning {
  const { status } = answer;
  const excerpt = excerptOf(answer.bytes, hidden);
  const said = excerpt === '' ? '' : `: ${excerpt}`;
  const hint = status >= 300 && status < 400 ? ' (redirects are not followed)' : '';
  const failed = { kind: 'failed', code: `http-${status}`, message: `the service answered ${status}${hint}${said}` } as const;
  if (!RETRYABLE.has(status) && status < 500) return { ...failed, permanent: true };
  const afterMs = retryAfterMs(answer.retryAfter, nowMs);
  return { ...failed, permanent: false, ...(afterMs === undefined ? {} : { retryAfterMs: afterMs }) };
}

function isJson(contentType: string): boolean {
  return /^\s*[\w.+-]+\/(json|[\w.+-]+\+json)\s*(;|$)/i.test(contentType);
}

function decode(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** The beginning of an answer on one line. What is hidden is taken out before the cut, which could leave half of it. */
function excerptOf(bytes: Buffer, hidden: readonly string[]): string {
  const text = redact(new TextDecoder().decode(bytes), hidden)
    .replaceAll(/[\p{Cc}\p{Z}\s]+/gu, ' ')
    .trim();
  return text.length > EXCERPT_CHARS_MAX ? `${text.slice(0, EXCERPT_CHARS_MAX).toWellFormed()}…` : text;
}
