// The second check of every request below /v1, after who is calling: is there room for it in the caller's minute.
import type { Keys } from '@millrace/redis';
import { AppError, LIMITS } from '@millrace/shared';
import type { Exchange } from '../http/exchange.ts';
import { setLimitHeaders } from './limit-headers.ts';
import type { RequestLimiter, RequestSubject, RequestVerdict } from './request-limiter.ts';

/** @throws AppError rate-limited */
export type AdmitRequest = (exchange: Exchange) => void | Promise<void>;

export function createAdmitRequest({ limiter, keys }: { limiter: RequestLimiter; keys: Keys }): AdmitRequest {
  return (exchange) => {
    const verdict = limiter.admit(subjectOf(exchange, keys));
    if (verdict instanceof Promise) return verdict.then((counted) => apply(exchange, counted));
    return apply(exchange, verdict);
  };
}

// Callbacks have no key: a service is known by where it calls from.
function subjectOf({ principal, req }: Exchange, keys: Keys): RequestSubject {
  if (principal === undefined) return { key: keys.addressRequests(req.socket.remoteAddress ?? ''), perMinute: LIMITS.requestsPerMinute };
  const { workspace, keyId, requestsPerMinute } = principal;
  return { key: keys.keyRequests(workspace, keyId), perMinute: requestsPerMinute };
}

function apply({ res, isSettled }: Exchange, verdict: RequestVerdict): void {
  if (isSettled()) return;
  setLimitHeaders(res, verdict);
  if (verdict.allowed) return;
  throw new AppError('rate-limited', {
    detail: `This caller may make ${verdict.perMinute} requests in any minute.`,
    retryAfterSeconds: verdict.freeInSeconds,
  });
}
