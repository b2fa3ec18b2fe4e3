// When a service says that it may be asked again.

/** No service makes a phase wait longer. */
const RETRY_AFTER_MS_MAX = 24 * 3_600_000;

/**
 * Milliseconds from a Retry-After header: seconds or an HTTP date (RFC 9110, 10.2.3), at most a day; a date that has passed is 0.
 * Undefined when there is none or it says nothing.
 */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d{1,15}(\.\d+)?$/.test(text)) return Math.min(Number(text) * 1_000, RETRY_AFTER_MS_MAX);
  const atMs = /^[A-Z][a-z]{2}/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(atMs) ? undefined : Math.min(Math.max(0, atMs - nowMs), RETRY_AFTER_MS_MAX);
}
