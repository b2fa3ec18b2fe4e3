import { describe, expect, it } from '@jest/globals';
import { createFrameTail } from './frame-tail.ts';

const frames = (from: number, to: number, sizeBytes = 10) =>
  Array.from({ length: to - from + 1 }, (_, index) => ({ seq: from + index, isEnd: false, bytes: Buffer.alloc(sizeBytes) }));
const seqsAfter = (tail: ReturnType<typeof createFrameTail>, seq: number) => tail.after(seq)?.map((frame) => frame.seq);

describe('createFrameTail', () => {
  it('answers what follows a position while it is there', () => {
    const tail = createFrameTail({ framesMax: 3, bytesMax: 1_000 });
    tail.append(frames(1, 5));
    expect(seqsAfter(tail, 4)).toEqual([5]);
    expect(seqsAfter(tail, 2)).toEqual([3, 4, 5]);
    expect(seqsAfter(tail, 1)).toBeUndefined();
  });

  it('has nothing for who is at the head or ahead of it', () => {
    const tail = createFrameTail({ framesMax: 3, bytesMax: 1_000 });
    tail.append(frames(1, 2));
    expect([seqsAfter(tail, 2), seqsAfter(tail, 9)]).toEqual([[], []]);
  });

  it('keeps within its bytes, even when one frame is larger than all of them', () => {
    const tail = createFrameTail({ framesMax: 100, bytesMax: 35 });
    tail.append(frames(1, 5));
    expect(seqsAfter(tail, 2)).toEqual([3, 4, 5]);
    expect(seqsAfter(tail, 1)).toBeUndefined();
    tail.append(frames(6, 6, 50));
    expect(seqsAfter(tail, 5)).toBeUndefined();
    expect(seqsAfter(tail, 6)).toEqual([]);
  });

  it('begins anew at any head, with or without frames', () => {
    const tail = createFrameTail({ framesMax: 10, bytesMax: 1_000 });
    tail.restart(40, []);
    expect(seqsAfter(tail, 40)).toEqual([]);
    expect(seqsAfter(tail, 39)).toBeUndefined();
    tail.append(frames(41, 42));
    expect(seqsAfter(tail, 40)).toEqual([41, 42]);
  });
});
