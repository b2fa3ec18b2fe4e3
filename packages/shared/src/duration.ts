// Durations as people write them in definitions: '250ms', '60s', '10m', '3h', '2d'.

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const DURATION_PATTERN = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/** Milliseconds as a number, or a number with a unit. */
export type Duration = number | `${number}${keyof typeof UNIT_MS}`;

/**
 * @returns whole milliseconds.
 * @throws RangeError when the text is no duration or the number is negative or not finite.
 */
export function durationMs(duration: Duration): number {
  if (typeof duration === 'number') {
    if (!Number.isFinite(duration) || duration < 0) throw new RangeError(`${duration} is no duration in milliseconds`);
    return Math.round(duration);
  }
  const match = DURATION_PATTERN.exec(duration);
  if (!match) throw new RangeError(`"${duration}" is no duration; write for example 250ms, 60s, 10m, 3h or 2d`);
  return Math.round(Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS]);
}
