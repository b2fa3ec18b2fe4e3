import { describe, expect, it } from '@jest/globals';
import { createProgressLane } from './progress-lane.ts';

const texts = (frames: Buffer[]) => frames.map(String);

describe('createProgressLane', () => {
  it('keeps only the latest report of each phase for those who have not seen it', () => {
    const lane = createProgressLane({ phasesMax: 10 });
    lane.set('a', Buffer.from('a1'));
    lane.set('b', Buffer.from('b1'));
    const seen = lane.version;
    lane.set('a', Buffer.from('a2'));
    lane.set('a', Buffer.from('a3'));
    expect(texts(lane.since(0))).toEqual(['b1', 'a3']);
    expect(texts(lane.since(seen))).toEqual(['a3']);
    expect(lane.since(lane.version)).toEqual([]);
  });

  it('forgets phases that ended, and the most silent one when there are too many', () => {
    const lane = createProgressLane({ phasesMax: 2 });
    lane.set('a', Buffer.from('a'));
    lane.set('b', Buffer.from('b'));
    lane.set('a', Buffer.from('a again'));
    lane.set('c', Buffer.from('c'));
    expect(texts(lane.since(0))).toEqual(['a again', 'c']);
    lane.drop('a');
    expect(texts(lane.since(0))).toEqual(['c']);
  });
});
