import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CANARY_RUNS, canaryVerdict, nextStepSize } from './canary.ts';

/** Replays flows in the given order, each broken or not, as an operation would, and answers how many ran and whether it stopped. */
function replay(broken: readonly boolean[]): { runs: number; stopped: boolean } {
  const counts = { recovered: 0, returned: 0, otherwise: 0 };
  let runs = 0;
  while (runs < broken.length) {
    for (const isBroken of broken.slice(runs, runs + nextStepSize(runs))) {
      runs += 1;
      counts[isBroken ? 'returned' : 'recovered'] += 1;
    }
    if (canaryVerdict(counts) !== null) return { runs, stopped: true };
  }
  return { runs, stopped: false };
}

describe('the steps of a canary', () => {
  it('begin with a few and grow', () => {
    const sizes: number[] = [];
    for (let released = 0; sizes.length < 12; released += sizes.at(-1) ?? 0) sizes.push(nextStepSize(released));
    expect(sizes).toEqual([5, 5, 10, 20, 40, 80, 160, 320, 640, 1_000, 1_000, 1_000]);
  });

  it('are made up for when some of a step could not be opened', () => {
    expect(nextStepSize(3)).toBe(2);
    expect(nextStepSize(12)).toBe(8);
  });
});

describe('a canary', () => {
  it('never lets more than 20 of a set run of which two in 20 return', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1_000, maxLength: 1_000 }), (broken) => {
        const { runs, stopped } = replay(broken);
        return broken.slice(0, CANARY_RUNS).filter(Boolean).length < 2 || (stopped && runs <= CANARY_RUNS);
      }),
    );
  });

  it('stops after the first five when nothing is mended', () => {
    expect(replay(Array.from({ length: 1_000 }, () => true))).toEqual({ runs: 5, stopped: true });
  });

  it('lets everything run when all is mended, or one in fifty is not', () => {
    expect(replay(Array.from({ length: 1_000 }, () => false))).toEqual({ runs: 1_000, stopped: false });
    expect(replay(Array.from({ length: 1_000 }, (_, n) => n % 50 === 7))).toEqual({ runs: 1_000, stopped: false });
  });

  it('stops later when what is broken comes late', () => {
    const { runs, stopped } = replay(Array.from({ length: 1_000 }, (_, n) => n >= 500));
    expect(stopped).toBe(true);
    expect(runs).toBeLessThanOrEqual(640);
  });

  it('bears more failures of another kind, but not many', () => {
    expect(canaryVerdict({ recovered: 3, returned: 0, otherwise: 2 })).toBeNull();
    expect(canaryVerdict({ recovered: 2, returned: 0, otherwise: 3 })).toBe('3 of 5 runs failed again, 3 of them in another way');
    expect(canaryVerdict({ recovered: 95, returned: 0, otherwise: 5 })).toBeNull();
  });

  it('says why it stops', () => {
    expect(canaryVerdict({ recovered: 3, returned: 2, otherwise: 0 })).toBe('the same failure came back in 2 of 5 runs');
  });
});
