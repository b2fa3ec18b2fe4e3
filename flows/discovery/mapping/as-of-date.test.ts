import { expect, it } from '@jest/globals';
import { asOfDate } from './as-of-date.ts';

it('takes the given day', () => {
  expect(asOfDate('2025-02-03', 'anything')).toBe('2025-02-03');
});

it('reads the day of acceptance from the flow id, the example of RFC 9562', () => {
  // RFC 9562, appendix A.6: 017F22E2-79B0-7CC3-98C4-DC0C0C07398F is 22 February 2022, 19:22:22 GMT.
  expect(asOfDate(undefined, '017F22E2-79B0-7CC3-98C4-DC0C0C07398F')).toBe('2022-02-22');
});

it('refuses an id without a date', () => {
  expect(() => asOfDate(undefined, '3f0e7b52-9a57-4c1e-8d2b-5a1f0c9e7d11')).toThrow('input.asOf is needed');
});
