// How restarts are spaced.
import { describe, expect, it } from '@jest/globals';
import { restartDelayMs } from './restart-backoff.ts';

describe('restartDelayMs', () => {
  it.each([
    [1, 250],
    [2, 500],
    [3, 1_000],
    [6, 8_000],
    [7, 10_000],
    [10_000, 10_000],
  ])('doubles from 250 ms up to 10 s: restart %d waits %d ms', (restart, expected) => {
    expect(restartDelayMs(restart, () => 0)).toBe(expected);
  });

  it('takes off at most a fifth as jitter', () => {
    expect(restartDelayMs(7, () => 1)).toBe(8_000);
  });
});
