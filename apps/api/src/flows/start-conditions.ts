// What a start says about when it may run and what it must not repeat: checked across fields and put as the store takes it.
import { durationMs, fieldError, LIMITS, type Duration, type NewFlowBody } from '@millrace/shared';
import type { Dedupe, NewFlow } from '@millrace/store';
import { existingFlow } from './flow-links.ts';

const AHEAD_YEARS_MAX = 10;

/** Null when the flow may start now, which a time in the past means too. @throws AppError validation */
export function startTime(runAt: string | undefined, nowMs: number): string | null {
  if (runAt === undefined) return null;
  const atMs = instantOf('/runAt', runAt, nowMs);
  return atMs <= nowMs ? null : new Date(atMs).toISOString();
}

/** When a flow that has not started fails; undefined: never. `expiresInMs` is the definition's own. @throws AppError validation */
export function expiryTime(
  { expiresAt, runAt }: { expiresAt: string | undefined; runAt: string | null },
  expiresInMs: number | null,
  nowMs: number,
): string | undefined {
  const startMs = runAt === null ? nowMs : Date.parse(runAt);
  if (expiresAt === undefined) return expiresInMs === null ? undefined : new Date(startMs + expiresInMs).toISOString();
  const atMs = instantOf('/expiresAt', expiresAt, nowMs);
  if (atMs <= nowMs) throw fieldError('validation', '/expiresAt', 'This time has passed.');
  if (atMs <= startMs) throw fieldError('validation', '/expiresAt', 'The flow would expire before runAt.');
  return new Date(atMs).toISOString();
}

/** @throws AppError validation */
export function concurrencyOf({ concurrencyKey, concurrencyLimit }: NewFlowBody): NonNullable<NewFlow['extras']>['concurrency'] {
  if (concurrencyKey !== undefined) return { key: concurrencyKey, limit: concurrencyLimit ?? 1 };
  if (concurrencyLimit !== undefined) throw fieldError('validation', '/concurrencyLimit', 'It needs a concurrencyKey.');
  return undefined;
}

/** @throws AppError validation */
export function dedupeOf({ flow, dedupeKey, dedupeMode, dedupeWindow }: NewFlowBody): Dedupe | undefined {
  if (dedupeKey === undefined) {
    if (dedupeMode !== undefined) throw fieldError('validation', '/dedupeMode', 'It needs a dedupeKey.');
    if (dedupeWindow !== undefined) throw fieldError('validation', '/dedupeWindow', 'It needs a dedupeKey.');
    return undefined;
  }
  const mode = dedupeMode ?? 'return';
  if (mode === 'window' && dedupeWindow === undefined) throw fieldError('validation', '/dedupeWindow', 'dedupeMode window needs it.');
  if (mode !== 'window' && dedupeWindow !== undefined) throw fieldError('validation', '/dedupeWindow', 'It belongs to dedupeMode window.');
  return {
    key: dedupeKey,
    mode,
    windowMs: dedupeWindow === undefined ? null : windowMs(dedupeWindow),
    respondExisting: (existing) => ({ status: 202, body: existingFlow({ ...existing, flow }) }),
  };
}

function windowMs(text: string): number {
  try {
    const ms = durationMs(text as Duration);
    if (ms > 0 && ms <= LIMITS.timerMsMax) return ms;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  throw fieldError('validation', '/dedupeWindow', 'This must be a duration of at most 24 days, such as 250ms, 60s, 10m, 3h or 2d.');
}

function instantOf(pointer: string, text: string, nowMs: number): number {
  const atMs = Date.parse(text);
  if (Number.isNaN(atMs)) throw fieldError('validation', pointer, 'This is not a time.');
  if (atMs > yearsAfter(nowMs, AHEAD_YEARS_MAX)) throw fieldError('validation', pointer, 'This may be ten years ahead at most.');
  return atMs;
}

function yearsAfter(nowMs: number, years: number): number {
  const at = new Date(nowMs);
  return at.setUTCFullYear(at.getUTCFullYear() + years);
}
