// Rate limits by numbers: what may be taken when, in one window and in several, and that no period ever sees more than its most.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { takeTokens, type TokenState, type TokenWindow } from './take-tokens.ts';

const NEW: TokenState = { windows: [], logs: [] };
const SECOND = 1_000;
const at = (state: TokenState, windows: readonly TokenWindow[], nowMs: number, wanted = 1_000, least = 1) => {
  const tokens = takeTokens(state, windows, { nowMs, wanted, least });
  return { ...tokens, state: { windows, logs: tokens.logs } };
};

describe('takeTokens', () => {
  it('gives all at once, then none until the first has left the window', () => {
    const windows = [{ max: 3, perMs: SECOND }];
    const first = at(NEW, windows, 50_000);
    expect([first.taken, first.nextAtMs, first.emptyAtMs]).toEqual([3, 51_000, 51_000]);
    expect(at(first.state, windows, 50_999).taken).toBe(0);
    expect(at(first.state, windows, 51_000).taken).toBe(3);
  });

  it('gives back what was taken at different times at different times', () => {
    const windows = [{ max: 3, perMs: SECOND }];
    const first = at(NEW, windows, 50_000, 1);
    const second = at(first.state, windows, 50_400, 2);
    expect([second.taken, second.nextAtMs]).toEqual([2, 51_000]);
    const third = at(second.state, windows, 51_000);
    expect([third.taken, third.nextAtMs]).toEqual([1, 51_400]);
  });

  it('holds several windows at the same time', () => {
    const windows = [
      { max: 2, perMs: SECOND },
      { max: 3, perMs: 60 * SECOND },
    ];
    const first = at(NEW, windows, 100_000);
    expect([first.taken, first.nextAtMs]).toEqual([2, 101_000]);
    const second = at(first.state, windows, 101_000);
    expect([second.taken, second.nextAtMs]).toEqual([1, 160_000]);
    expect(at(second.state, windows, 102_000).taken).toBe(0);
    expect(at(second.state, windows, 160_000).taken).toBe(2);
  });

  it('takes all or none when so many are needed, and says when they are there', () => {
    const windows = [{ max: 5, perMs: SECOND }];
    const first = at(NEW, windows, 50_000, 2);
    const second = at(first.state, windows, 50_500, 2);
    const refused = at(second.state, windows, 50_600, 3, 3);
    expect([refused.taken, refused.nextAtMs]).toEqual([0, 51_000]);
    expect(at(second.state, windows, 50_600, 4, 4).nextAtMs).toBe(51_500);
    expect(at(second.state, windows, 51_000, 3, 3).taken).toBe(3);
    expect(() => at(NEW, windows, 50_000, 6, 6)).toThrow(RangeError);
  });

  it('does not go back when a clock does', () => {
    const windows = [{ max: 2, perMs: SECOND }];
    const first = at(NEW, windows, 50_000, 1);
    const second = at(first.state, windows, 40_000, 1);
    expect([second.taken, second.logs]).toEqual([1, [[[50_000, 2]]]]);
  });

  it('carries over what was taken when the windows change', () => {
    const first = at(NEW, [{ max: 10, perMs: 60 * SECOND }], 100_000, 4);
    expect(at(first.state, [{ max: 5, perMs: 60 * SECOND }], 101_000).taken).toBe(1);
    expect(at(first.state, [{ max: 3, perMs: 60 * SECOND }], 101_000)).toMatchObject({ taken: 0, nextAtMs: 160_000 });
    expect(at(first.state, [{ max: 6, perMs: 30 * SECOND }], 101_000).taken).toBe(2);
  });

  it('keeps few entries however many are taken', () => {
    const windows = [{ max: 1_000_000, perMs: 60 * SECOND }];
    let state = NEW;
    for (let n = 0; n < 20_000; n += 1) state = at(state, windows, 100_000 + n * 7, 3).state;
    expect(state.logs[0]?.length).toBeLessThanOrEqual(62);
  });

  it('is empty when everything has run out', () => {
    const windows = [{ max: 2, perMs: SECOND }];
    const first = at(NEW, windows, 50_000, 1);
    expect(at(first.state, windows, first.emptyAtMs ?? 0, 0, 1)).toMatchObject({ logs: [[]], emptyAtMs: null });
  });

  it('never lets any period have more than its most, and always as many as it says at the time it says', () => {
    const window = fc.record({ max: fc.integer({ min: 1, max: 20 }), perMs: fc.integer({ min: 10, max: 5_000 }) });
    fc.assert(
      fc.property(
        fc.array(window, { minLength: 1, maxLength: 4 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 700 }), fc.integer({ min: 1, max: 30 })), { maxLength: 80 }),
        (windows, asks) => {
          let state = NEW;
          let nowMs = 1_000_000;
          const takings: [number, number][] = [];
          for (const [passedMs, wanted] of asks) {
            nowMs += passedMs;
            const one = at(state, windows, nowMs, wanted);
            if (one.taken > 0) takings.push([nowMs, one.taken]);
            state = one.state;
            expect(at(state, windows, one.nextAtMs).taken).toBeGreaterThan(0);
          }
          for (const { max, perMs } of windows)
            for (const [end] of takings) {
              const inPeriod = takings.filter(([atMs]) => atMs > end - perMs && atMs <= end);
              expect(inPeriod.reduce((sum, [, taken]) => sum + taken, 0)).toBeLessThanOrEqual(max);
            }
        },
      ),
    );
  });
});
