import { describe, expect, it } from '@jest/globals';
import { mean, percentile } from './percentile.ts';

describe('percentile', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  it.each([
    [hundred, 0.5, 50],
    [hundred, 0.99, 99],
    [hundred, 1, 100],
    [[7], 0.99, 7],
    [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.95, 10],
  ])('is a value of the sample', (sample, fraction, expected) => {
    expect(percentile(sample, fraction)).toBe(expected);
  });

  it('refuses an empty sample, as the mean does', () => {
    expect(() => percentile([], 0.5)).toThrow('empty');
    expect(() => mean([])).toThrow('empty');
    expect(mean([1, 2, 6])).toBe(3);
  });
});
