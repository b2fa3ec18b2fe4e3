import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  countedTokens,
  emptyAtMsOf,
  freeTokens,
  standInLine,
  takeTokens,
  type SlidingWindow,
  type UsedOfWindow,
} from './sliding-windows.ts';

const window = fc.record({ max: fc.integer({ min: 1, max: 60 }), perMs: fc.integer({ min: 1, max: 5_000 }) });
const calls = fc.array(fc.record({ afterMs: fc.nat(700), units: fc.integer({ min: 1, max: 20 }) }), { minLength: 1, maxLength: 150 });

/** Runs calls one after the other and answers what was granted, each with its time. */
function run(windows: SlidingWindow[], asked: { afterMs: number; units: number }[]) {
  let used: UsedOfWindow[] = [];
  let nowMs = 1_000_000;
  const answers = asked.map(({ afterMs, units }) => {
    nowMs += afterMs;
    const free = freeTokens({ windows, used }, nowMs);
    const answer = takeTokens({ windows, used }, units, nowMs);
    const before = used;
    used = answer.used;
    return { ...answer, units, nowMs, free, before };
  });
  return { answers, granted: answers.filter((answer) => answer.taken) };
}

/** The greatest sum of units in any span of the window's length that ends with a grant. */
function mostInSpan(perMs: number, granted: { nowMs: number; units: number }[]): number {
  return Math.max(
    0,
    ...granted.map(({ nowMs: endMs }) =>
      granted.filter(({ nowMs }) => nowMs <= endMs && nowMs > endMs - perMs).reduce((sum, { units }) => sum + units, 0),
    ),
  );
}

describe('takeTokens', () => {
  it('takes from all windows or from none, and says when it is worth asking again', () => {
    const windows = [
      { max: 2, perMs: 1_000 },
      { max: 3, perMs: 10_000 },
    ];
    const { answers } = run(windows, [
      { afterMs: 0, units: 2 },
      { afterMs: 400, units: 1 },
      { afterMs: 600, units: 1 },
      { afterMs: 1_000, units: 1 },
      { afterMs: 8_000, units: 1 },
    ]);
    expect(answers.map(({ taken, retryAtMs }) => [taken, retryAtMs])).toEqual([
      [true, 1_000_000],
      [false, 1_001_000],
      [true, 1_001_000],
      [false, 1_010_000],
      [true, 1_010_000],
    ]);
  });

  it('never has what no window holds', () => {
    expect(takeTokens({ windows: [{ max: 3, perMs: 1_000 }], used: [] }, 4, 0)).toMatchObject({ taken: false, retryAtMs: null });
  });

  it('lets no span of a window see more than its maximum', () => {
    fc.assert(
      fc.property(fc.array(window, { minLength: 1, maxLength: 4 }), calls, (windows, asked) => {
        const { granted } = run(windows, asked);
        for (const { max, perMs } of windows) expect(mostInSpan(perMs, granted)).toBeLessThanOrEqual(max);
      }),
    );
  });

  it('refuses only what a window a sixteenth longer would not hold, and nothing that an exact limit of at most 16 would', () => {
    fc.assert(
      fc.property(window, calls, ({ max, perMs }, asked) => {
        const { answers, granted } = run([{ max, perMs }], asked);
        const spanMs = max <= 16 ? perMs : perMs + perMs / 16;
        for (const { nowMs, units } of answers.filter((answer) => !answer.taken)) {
          const before = granted.filter((grant) => grant.nowMs <= nowMs && grant.nowMs > nowMs - spanMs);
          expect(before.reduce((sum, grant) => sum + grant.units, units)).toBeGreaterThan(max);
        }
      }),
    );
  });

  it('has the units at the time it names, and not a millisecond before', () => {
    fc.assert(
      fc.property(fc.array(window, { minLength: 1, maxLength: 4 }), calls, (windows, asked) => {
        for (const { taken, retryAtMs, units, before } of run(windows, asked).answers) {
          if (taken || retryAtMs === null) continue;
          expect(takeTokens({ windows, used: before }, units, retryAtMs).taken).toBe(true);
          expect(takeTokens({ windows, used: before }, units, retryAtMs - 1).taken).toBe(false);
        }
      }),
    );
  });

  it('says beforehand how many it would give', () => {
    fc.assert(
      fc.property(fc.array(window, { minLength: 1, maxLength: 4 }), calls, (windows, asked) => {
        for (const { free, units, taken } of run(windows, asked).answers) expect(taken).toBe(units <= free);
      }),
    );
  });

  it('keeps at most 17 entries of a window, however often it is asked', () => {
    const { answers } = run(
      [{ max: 1_000, perMs: 1_000 }],
      Array.from({ length: 3_000 }, () => ({ afterMs: 1, units: 1 })),
    );
    expect(Math.max(...answers.flatMap(({ used }) => used.map(({ taken }) => taken.length)))).toBeLessThanOrEqual(17);
  });

  it('waits no longer than a window after the clock was set back', () => {
    const windows = [{ max: 1, perMs: 1_000 }];
    const { used } = takeTokens({ windows, used: [] }, 1, 3_600_000);
    const refused = takeTokens({ windows, used }, 1, 0);
    expect(refused).toMatchObject({ taken: false, retryAtMs: 1_000 });
    expect(takeTokens({ windows, used: refused.used }, 1, 1_000).taken).toBe(true);
  });

  it('counts also for those who have other windows under the same name, as long as those count anything', () => {
    const [short, long] = [
      { max: 5, perMs: 1_000 },
      { max: 4, perMs: 60_000 },
    ];
    const first = takeTokens({ windows: [long], used: [] }, 2, 0);
    const second = takeTokens({ windows: [short], used: first.used }, 2, 2_000);
    expect(takeTokens({ windows: [long], used: second.used }, 1, 3_000)).toMatchObject({ taken: false, retryAtMs: 62_000 });
    expect(takeTokens({ windows: [short], used: second.used }, 1, 90_000).used.map(({ perMs }) => perMs)).toEqual([1_000]);
  });

  it('goes on counting when a maximum changes, and starts anew when a length does', () => {
    const { used } = takeTokens({ windows: [{ max: 2, perMs: 1_000 }], used: [] }, 2, 0);
    expect(freeTokens({ windows: [{ max: 5, perMs: 1_000 }], used }, 10)).toBe(3);
    expect(freeTokens({ windows: [{ max: 1, perMs: 1_000 }], used }, 10)).toBe(0);
    expect(freeTokens({ windows: [{ max: 5, perMs: 2_000 }], used }, 10)).toBe(5);
  });
});

describe('standInLine', () => {
  it('gives every one the earliest time at which the units are there after all before it, in order', () => {
    const windows = [
      { max: 2, perMs: 1_000 },
      { max: 3, perMs: 10_000 },
    ];
    let { used } = takeTokens({ windows, used: [] }, 2, 0);
    let line: UsedOfWindow[] = [];
    const times = Array.from({ length: 6 }, () => {
      const place = standInLine({ windows, used }, line, { units: 1, nowMs: 100 });
      line = place?.line ?? [];
      return place?.atMs;
    });
    expect(times).toEqual([1_000, 10_000, 10_000, 11_000, 20_000, 20_000]);
    ({ used } = takeTokens({ windows, used: [] }, 2, 60_000));
    expect(standInLine({ windows, used }, line, { units: 1, nowMs: 60_100 })?.atMs).toBe(61_000);
    expect(standInLine({ windows, used }, line, { units: 3, nowMs: 60_100 })).toBeNull();
  });

  it('has the units for all in line when they come at their times, and is kept as small as what is used', () => {
    fc.assert(
      fc.property(fc.array(window, { minLength: 1, maxLength: 3 }), calls, (windows, asked) => {
        const { answers } = run(windows, asked);
        const nowMs = answers.at(-1)?.nowMs ?? 0;
        let used: readonly UsedOfWindow[] = answers.at(-1)?.used ?? [];
        let line: UsedOfWindow[] = [];
        const places = asked.flatMap(({ units }) => {
          if (units <= freeTokens({ windows, used }, nowMs)) return [];
          const place = standInLine({ windows, used }, line, { units, nowMs });
          if (place === null) return [];
          line = place.line;
          return [{ units, atMs: place.atMs }];
        });
        expect(Math.max(0, ...line.map(({ taken }) => taken.length))).toBeLessThanOrEqual(17);
        for (const { units, atMs } of places) {
          const outcome = takeTokens({ windows, used }, units, atMs);
          expect(outcome.taken).toBe(true);
          used = outcome.used;
        }
      }),
    );
  });
});

describe('what is still counted', () => {
  it('loses what has left its window, and is empty when it says so', () => {
    const windows = [
      { max: 5, perMs: 1_000 },
      { max: 9, perMs: 60_000 },
    ];
    const { used } = takeTokens({ windows, used: takeTokens({ windows, used: [] }, 1, 0).used }, 2, 500);
    expect(countedTokens(used, 1_000)).toEqual([
      { perMs: 1_000, taken: [[500, 2]] },
      {
        perMs: 60_000,
        taken: [
          [0, 1],
          [500, 2],
        ],
      },
    ]);
    expect(countedTokens(used, 2_000).map(({ perMs }) => perMs)).toEqual([60_000]);
    expect(emptyAtMsOf(used)).toBe(60_500);
    expect([countedTokens(used, 60_499).length, countedTokens(used, 60_500)]).toEqual([1, []]);
    expect(emptyAtMsOf([])).toBeNull();
  });
});
