// What a caller is told about its limit: the fields RateLimit-Policy and RateLimit (IETF draft "RateLimit header fields for HTTP").
import type { ServerResponse } from 'node:http';
import { WINDOW_SECONDS, type RequestVerdict } from './request-limiter.ts';

/** The largest integer that a structured field can hold: clients that pace themselves need not know of callers without a limit. */
const NO_LIMIT = 999_999_999_999_999;

export const RATE_LIMIT_HEADERS = {
  'RateLimit-Policy': `\`"default";q=<requests>;w=${WINDOW_SECONDS}\`: so many requests in any minute; ${NO_LIMIT} without a limit`,
  RateLimit: '`"default";r=<requests>;t=<seconds>`: so many may still be made now, and there is room for more after so long',
} as const;

/** Sets both fields; an answer that says nothing about the caller takes them back with `removeLimitHeaders`. */
export function setLimitHeaders(response: ServerResponse, { perMinute, left, freeInSeconds }: RequestVerdict): void {
  response.setHeader('ratelimit-policy', `"default";q=${perMinute === 0 ? NO_LIMIT : perMinute};w=${WINDOW_SECONDS}`);
  response.setHeader('ratelimit', `"default";r=${perMinute === 0 ? NO_LIMIT : left};t=${freeInSeconds}`);
}

export function removeLimitHeaders(response: ServerResponse): void {
  response.removeHeader('ratelimit-policy');
  response.removeHeader('ratelimit');
}
