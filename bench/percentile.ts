// Order statistics of a sample.

/**
 * The smallest value that at least `fraction` of the sample does not exceed (nearest rank, no interpolation).
 * @throws Error when the sample is empty.
 */
export function percentile(sample: readonly number[], fraction: number): number {
  const value = sample.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(fraction * sample.length) - 1)];
  if (value === undefined) throw new Error('an empty sample has no percentiles');
  return value;
}

/** @throws Error when the sample is empty. */
export function mean(sample: readonly number[]): number {
  if (sample.length === 0) throw new Error('an empty sample has no mean');
  return sample.reduce((sum, value) => sum + value, 0) / sample.length;
}
