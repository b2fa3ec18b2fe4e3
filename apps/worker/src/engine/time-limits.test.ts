import { describe, expect, it } from '@jest/globals';
import { timeLimits } from './time-limits.ts';

describe('the time limits of a phase', () => {
  it.each([
    ['are 25 and 30 minutes by default', undefined, { softMs: 1_500_000, hardMs: 1_800_000 }],
    ['are what it says', { soft: '1s', hard: 2_000 } as const, { softMs: 1_000, hardMs: 2_000 }],
    ['never let the soft one lie behind the hard one', { hard: '1m' } as const, { softMs: 60_000, hardMs: 60_000 }],
  ])('%s', (_, timeout, limits) => {
    expect(timeLimits(timeout === undefined ? {} : { timeout })).toEqual(limits);
  });
});
