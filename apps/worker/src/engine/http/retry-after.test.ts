import { describe, expect, it } from '@jest/globals';
import { retryAfterMs } from './retry-after.ts';

const NOW = Date.parse('2026-03-01T12:00:00Z');
const DAY_MS = 86_400_000;

describe('Retry-After', () => {
  it.each<[string, string | undefined, number | undefined]>([
    ['seconds', '120', 120_000],
    ['no seconds', '0', 0],
    ['parts of a second, which some send', '1.5', 1_500],
    ['more than a day', '999999', DAY_MS],
    ['an absurd number', '999999999999999', DAY_MS],
    ['a date', 'Sun, 01 Mar 2026 12:00:30 GMT', 30_000],
    ['a date long ago', 'Sat, 01 Mar 2025 12:00:30 GMT', 0],
    ['a date far ahead', 'Sun, 01 Mar 2099 12:00:30 GMT', DAY_MS],
    ['blanks around', ' 7 ', 7_000],
    ['nothing', undefined, undefined],
    ['an empty text', '', undefined],
    ['a negative number', '-5', undefined],
    ['words', 'soon', undefined],
    ['too many digits', '9999999999999999', undefined],
  ])('of %s', (_, header, expected) => {
    expect(retryAfterMs(header, NOW)).toBe(expected);
  });
});
