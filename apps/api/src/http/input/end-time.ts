// The end that a client gives something: a time ahead, within what can be stored and meant.
import { fieldError } from '@millrace/shared';

const AHEAD_YEARS_MAX = 10;

/** Null when there is none. @throws AppError validation when it does not lie ahead, or over ten years ahead */
export function endTime(until: string | undefined, nowMs: number): Date | null {
  if (until === undefined) return null;
  const atMs = Date.parse(until);
  if (Number.isNaN(atMs)) throw fieldError('validation', '/until', 'This is not a time.');
  if (atMs <= nowMs) throw fieldError('validation', '/until', 'must lie in the future');
  const latest = new Date(nowMs);
  if (atMs > latest.setUTCFullYear(latest.getUTCFullYear() + AHEAD_YEARS_MAX))
    throw fieldError('validation', '/until', 'may lie ten years ahead at most');
  return new Date(atMs);
}
