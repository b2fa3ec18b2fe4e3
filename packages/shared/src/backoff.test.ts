import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { backoffDelayMs, DEFAULT_RETRY, type BackoffPolicy } from './backoff.ts';
import { LIMITS } from './limits.ts';

const policies = fc.record({
  type: fc.constantFrom('exponential' as const, 'fixed' as const),
  delay: fc.nat(10_000_000),
  max: fc.nat(100_000_000),
  jitter: fc.double({ min: 0, max: 1, noNaN: true }),
});
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('backoffDelayMs', () => {
  it.each<[string, BackoffPolicy, number[]]>([
    ['doubles from the delay', { type: 'exponential', delay: '60s' }, [60_000, 120_000, 240_000, 480_000]],
    ['stops at the cap', { type: 'exponential', delay: '60s', max: '3m' }, [60_000, 120_000, 180_000, 180_000]],
    ['stays the same when fixed', { type: 'fixed', delay: '100ms' }, [100, 100, 100, 100]],
    ['caps a fixed delay too', { type: 'fixed', delay: '1h', max: '1m' }, [60_000, 60_000, 60_000, 60_000]],
    ['may be nothing at all', { type: 'exponential', delay: 0 }, [0, 0, 0, 0]],
    ['is 60, 120, 240, 480 s by default', { ...DEFAULT_RETRY.backoff, jitter: 0 }, [60_000, 120_000, 240_000, 480_000]],
  ])('%s', (_, policy, expected) => {
    expect([1, 2, 3, 4].map((used) => backoffDelayMs(policy, used, 0.999))).toEqual(expected);
  });

  it('takes the jitter off the delay, never on', () => {
    const policy: BackoffPolicy = { type: 'fixed', delay: 1_000, jitter: 0.2 };
    expect([0, 0.5, 1].map((share) => backoffDelayMs(policy, 1, share))).toEqual([1_000, 900, 800]);
  });

  it('holds the cap and the range of the jitter for every policy and attempt', () => {
    fc.assert(
      fc.property(policies, fc.integer({ min: 0, max: 5_000 }), random, (policy, used, share) => {
        const delayMs = backoffDelayMs(policy, used, share);
        const fullMs = backoffDelayMs({ ...policy, jitter: 0 }, used, 0);
        expect(Number.isSafeInteger(delayMs)).toBe(true);
        expect(fullMs).toBeLessThanOrEqual(policy.max);
        expect(delayMs).toBeLessThanOrEqual(fullMs);
        expect(delayMs).toBeGreaterThanOrEqual(Math.floor(fullMs * (1 - policy.jitter)));
      }),
    );
  });

  it('never shrinks from one attempt to the next', () => {
    fc.assert(
      fc.property(policies, fc.integer({ min: 1, max: 1_100 }), (policy, used) => {
        expect(backoffDelayMs(policy, used + 1, 0)).toBeGreaterThanOrEqual(backoffDelayMs(policy, used, 0));
      }),
    );
  });

  it('stays within what every clock and table can hold when no cap is given', () => {
    expect(backoffDelayMs({ type: 'exponential', delay: '60s' }, 1_000, 0)).toBe(LIMITS.timerMsMax);
    expect(backoffDelayMs({ type: 'exponential', delay: 0 }, 5_000, 0)).toBe(0);
    expect(backoffDelayMs({ type: 'fixed', delay: '400d' }, 1, 0)).toBe(LIMITS.timerMsMax);
  });
});
