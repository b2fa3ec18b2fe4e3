import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { durationMs, type Duration } from './duration.ts';

describe('durationMs', () => {
  it.each<[Duration, number]>([
    [0, 0],
    [1.4, 1],
    [250, 250],
    ['0ms', 0],
    ['250ms', 250],
    ['60s', 60_000],
    ['1.5s', 1_500],
    ['10m', 600_000],
    ['3h', 10_800_000],
    ['2d', 172_800_000],
    ['0.5d', 43_200_000],
  ])('reads %j as %d ms', (duration, expected) => {
    expect(durationMs(duration)).toBe(expected);
  });

  it.each([
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    '',
    's',
    '10',
    '10 s',
    ' 10s',
    '10s ',
    '-1s',
    '1e3s',
    '1,5s',
    '10S',
    '10w',
    '.5s',
    '10s10s',
    '0x10s',
  ])('refuses %p', (text) => {
    expect(() => durationMs(text as Duration)).toThrow(RangeError);
  });

  it('answers whole milliseconds for every number with a unit', () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.nat(999), fc.constantFrom('ms', 's', 'm', 'h', 'd'), (whole, fraction, unit) => {
        const ms = durationMs(`${whole}.${fraction}${unit}` as Duration);
        expect(Number.isSafeInteger(ms) && ms >= 0).toBe(true);
      }),
    );
  });
});
