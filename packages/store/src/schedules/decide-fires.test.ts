// What becomes of times that have come: every catch-up policy, every overlap policy, and both together.
import { describe, expect, it } from '@jest/globals';
import { decideFires, listMissed, type Situation } from './decide-fires.ts';

const NOW_MS = Date.UTC(2027, 0, 1, 12, 0, 30);
const minutesAgo = (minutes: number) => NOW_MS - 30_000 - minutes * 60_000;
/** One time a minute, the oldest first, the newest 30 s ago. */
const minutely = (count: number) => Array.from({ length: count }, (_, index) => minutesAgo(count - 1 - index));
const decide = (dueMs: readonly number[], changes: Partial<Situation> = {}) =>
  decideFires(dueMs, { overlap: 'allow', catchUp: 'none', nowMs: NOW_MS, openFlowId: null, hasQueued: false, fault: null, ...changes });
const outcomes = (dueMs: readonly number[], changes: Partial<Situation> = {}) => decide(dueMs, changes).fires.map(({ outcome }) => outcome);
const totals = (fires: ReturnType<typeof decide>['fires']) =>
  Object.fromEntries(
    [...Map.groupBy(fires, ({ outcome }) => outcome)].map(([outcome, some]) => [outcome, some.reduce((sum, { count }) => sum + count, 0)]),
  );

describe('catching up', () => {
  it.each(['none', 'last', 'all'] as const)('fires what has just come, whatever the policy (%s)', (catchUp) => {
    expect(decide(minutely(1), { catchUp }).fires).toEqual([{ dueAtMs: minutesAgo(0), outcome: 'started', count: 1, reason: null }]);
    expect(outcomes([NOW_MS - 60_000, NOW_MS], { catchUp })).toEqual(['started', 'started']);
  });

  it('fires nothing that is more than 60 s late with `none`', () => {
    expect(outcomes([NOW_MS - 60_001, NOW_MS - 60_000])).toEqual(['missed', 'started']);
    expect(outcomes(minutely(4))).toEqual(['missed', 'missed', 'missed', 'started']);
  });

  it('fires only the newest of all that have come with `last`', () => {
    expect(outcomes(minutely(4), { catchUp: 'last' })).toEqual(['missed', 'missed', 'missed', 'started']);
    expect(outcomes([minutesAgo(120), minutesAgo(60)], { catchUp: 'last' })).toEqual(['missed', 'started']);
    expect(outcomes([minutesAgo(60)], { catchUp: 'last' })).toEqual(['started']);
  });

  it('fires each in order with `all`', () => {
    const { fires } = decide(minutely(4), { catchUp: 'all' });
    expect(fires.map(({ dueAtMs, outcome }) => [dueAtMs, outcome])).toEqual(minutely(4).map((at) => [at, 'started']));
  });

  it('lists 100 missed times one by one and counts the older ones in one entry', () => {
    const { fires } = decide(minutely(1_000));
    expect(fires).toHaveLength(102);
    expect(fires[0]).toMatchObject({ dueAtMs: minutesAgo(999), outcome: 'missed', count: 899 });
    expect(totals(fires)).toEqual({ missed: 999, started: 1 });
  });

  it('fires the newest 100 late ones with `all`, and counts the others as missed', () => {
    const { fires } = decide(minutely(1_000), { catchUp: 'all' });
    expect(fires[0]).toMatchObject({ dueAtMs: minutesAgo(999), outcome: 'missed', count: 899 });
    expect(totals(fires)).toEqual({ missed: 899, started: 101 });
  });

  it('says why a time was missed', () => {
    expect(decide(minutely(2)).fires[0]?.reason).toMatch(/nothing is caught up/);
    expect(decide(minutely(2), { catchUp: 'last' }).fires[0]?.reason).toMatch(/only the newest/);
    expect(decide(minutely(200), { catchUp: 'all' }).fires[0]?.reason).toMatch(/at most 100/);
  });
});

describe('overlapping', () => {
  it.each([
    ['allow', 'started'],
    ['skip', 'skipped'],
    ['queue', 'queued'],
    ['cancel-previous', 'queued'],
  ] as const)('with %s makes it %s while a flow is open, and starts it while none is', (overlap, outcome) => {
    const { fires, supersedesQueued } = decide(minutely(1), { overlap, openFlowId: 'f1' });
    expect({ outcome: fires[0]?.outcome, supersedesQueued }).toEqual({ outcome, supersedesQueued: false });
    expect(fires[0]?.reason).toBe(outcome === 'started' ? null : 'flow f1 had not ended');
    expect(outcomes(minutely(1), { overlap })).toEqual(['started']);
  });

  it('lets one fire wait with `queue` and skips more', () => {
    expect(decide(minutely(1), { overlap: 'queue', openFlowId: 'f1', hasQueued: true }).fires).toEqual([
      { dueAtMs: minutesAgo(0), outcome: 'skipped', count: 1, reason: 'another fire was waiting already' },
    ]);
    expect(outcomes(minutely(1), { overlap: 'queue', hasQueued: true })).toEqual(['skipped']);
  });

  it('lets the newest fire take the place of one that waits with `cancel-previous`', () => {
    expect(decide(minutely(1), { overlap: 'cancel-previous', openFlowId: 'f1', hasQueued: true })).toMatchObject({
      fires: [{ outcome: 'queued' }],
      supersedesQueued: true,
    });
  });

  it.each([
    ['allow', ['started', 'started', 'started', 'started']],
    ['skip', ['started', 'skipped', 'skipped', 'skipped']],
    ['queue', ['started', 'queued', 'skipped', 'skipped']],
    ['cancel-previous', ['started', 'skipped', 'skipped', 'queued']],
  ] as const)('decides about each of several that are caught up (%s)', (overlap, expected) => {
    const decided = decide(minutely(4), { overlap, catchUp: 'all' });
    expect(decided.fires.map(({ outcome }) => outcome)).toEqual(expected);
    expect(decided.supersedesQueued).toBe(false);
  });

  it('gives way once, not once for each, where several take the place of one that waits', () => {
    const decided = decide(minutely(3), { overlap: 'cancel-previous', catchUp: 'all', openFlowId: 'f1', hasQueued: true });
    expect(decided.fires.map(({ outcome }) => outcome)).toEqual(['skipped', 'skipped', 'queued']);
    expect(decided.supersedesQueued).toBe(true);
  });
});

describe('a fault', () => {
  it('fails what would be fired and leaves missed what was', () => {
    const { fires } = decide(minutely(3), { catchUp: 'last', fault: 'no such flow', overlap: 'queue', openFlowId: 'f1' });
    expect(fires.map(({ outcome, reason }) => [outcome, reason])).toEqual([
      ['missed', expect.any(String)],
      ['missed', expect.any(String)],
      ['failed', 'no such flow'],
    ]);
  });
});

describe('listMissed', () => {
  it('makes no sum where all can be listed', () => {
    expect(listMissed([], 'why')).toEqual([]);
    expect(listMissed(minutely(100), 'why').every(({ count }) => count === 1)).toBe(true);
  });
});
