// The order of the backlog: what priority is worth against age.
import { describe, expect, it } from '@jest/globals';
import { newGroupId, timeOfId } from './ids.ts';
import { PRIORITY_STEP_MS, rankOf } from './rank.ts';

/** An id as it would have been made so much earlier or later. */
function idAt(atMs: number): string {
  const hex = atMs.toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}${newGroupId().slice(13)}`;
}

const NOW_MS = 1_800_000_000_000;

describe('rankOf', () => {
  it('lets the urgent go first among those of the same age, and the older among those of the same priority', () => {
    expect(timeOfId(idAt(NOW_MS))).toBe(NOW_MS);
    expect(rankOf(idAt(NOW_MS), 1)).toBeLessThan(rankOf(idAt(NOW_MS), 2));
    expect(rankOf(idAt(NOW_MS - 1), 50)).toBeLessThan(rankOf(idAt(NOW_MS), 50));
  });

  it.each([
    [1, 2],
    [1, 50],
    [1, 100],
    [49, 50],
  ])('lets what comes with priority %i overtake what waits with %i for a while, and then never again', (urgent, waiting) => {
    const waits = rankOf(idAt(NOW_MS), waiting);
    const overtakenForMs = (waiting - urgent) * PRIORITY_STEP_MS;
    expect(rankOf(idAt(NOW_MS + overtakenForMs - 1), urgent)).toBeLessThan(waits);
    expect(rankOf(idAt(NOW_MS + overtakenForMs + 1), urgent)).toBeGreaterThan(waits);
  });

  it('stays a number that is exact', () => {
    expect(Number.isSafeInteger(rankOf(idAt(2 ** 48 - 1), 100))).toBe(true);
  });
});
