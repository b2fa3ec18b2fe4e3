// The day that a report judges by. It is part of the input or of the flow's id, never of the clock of the process that happens to run it.
import { AppError } from '@millrace/shared';

const UUID_V7_PATTERN = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-/i;

/**
 * The given day, else the day on which the flow was accepted: a UUIDv7 starts with that instant in milliseconds (RFC 9562, 5.7).
 * So every attempt on every machine judges alike.
 * @throws AppError `validation` when no day is given and the flow's id carries none.
 */
export function asOfDate(given: string | undefined, flowId: string): string {
  if (given !== undefined) return given;
  const match = UUID_V7_PATTERN.exec(flowId);
  if (!match) throw new AppError('validation', { detail: 'The flow has no date in its id, so that input.asOf is needed.' });
  return new Date(Number.parseInt(`${match[1]}${match[2]}`, 16)).toISOString().slice(0, 10);
}
