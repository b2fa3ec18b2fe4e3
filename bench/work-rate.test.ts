import { describe, expect, it } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import { drainRate } from './work-rate.ts';

/** Answers what remains, one value after another, each after so many milliseconds. */
function scripted(values: readonly number[], waitMs: number): () => Promise<number> {
  const left = [...values];
  return async () => {
    await delay(waitMs);
    return left.shift() ?? 0;
  };
}

describe('the rate at which jobs are worked off', () => {
  it('leaves out the first tenth', async () => {
    // 900 jobs in two steps of 50 ms each, however long the first hundred took.
    const rate = await drainRate(scripted([1_000, 1_000, 900, 450, 0], 50), { jobCount: 1_000, pollMs: 0 });
    expect(rate).toBeGreaterThan(0);
    expect(rate).toBeLessThanOrEqual(9_000);
  });

  it('counts everything when all was done at once', async () => {
    const rate = await drainRate(scripted([0], 50), { jobCount: 1_000, pollMs: 0 });
    expect(rate).toBeGreaterThan(0);
    expect(rate).toBeLessThanOrEqual(20_500);
  });
});
