import { describe, expect, it } from '@jest/globals';
import { allowance, pacedAfter } from './pacing.ts';

/** How many are allowed within `forMs` when asked every `everyMs`. */
function inTime(ratePerSecond: number, { forMs, everyMs, max }: { forMs: number; everyMs: number; max: number }): number {
  let [pacedAtMs, count] = [0, 0];
  for (let nowMs = 0; nowMs <= forMs; nowMs += everyMs) {
    const pace = { ratePerSecond, pacedAtMs, nowMs };
    const allowed = allowance(pace, max).count;
    if (allowed > 0) pacedAtMs = pacedAfter(pace, allowed);
    count += allowed;
  }
  return count;
}

describe('the pace of an operation', () => {
  it.each([
    [0.5, 5],
    [1, 10],
    [7, 70],
    [100, 1_000],
    [1_000, 10_000],
  ])('comes to %d a second', (rate, inTenSeconds) => {
    expect(inTime(rate, { forMs: 10_000, everyMs: 10, max: 25 })).toBe(inTenSeconds);
  });

  it('is what it may be when it is asked seldom, within a second', () => {
    expect(inTime(20, { forMs: 10_000, everyMs: 500, max: 25 })).toBe(200);
  });

  it('does not save up what was not used', () => {
    expect(allowance({ ratePerSecond: 10, pacedAtMs: 0, nowMs: 3_600_000 }, 1_000).count).toBe(10);
    expect(allowance({ ratePerSecond: 0.1, pacedAtMs: 0, nowMs: 3_600_000 }, 1_000).count).toBe(1);
  });

  it('says how long to wait', () => {
    expect(allowance({ ratePerSecond: 2, pacedAtMs: 1_000, nowMs: 1_200 }, 25)).toEqual({ count: 0, waitMs: 300 });
  });
});
