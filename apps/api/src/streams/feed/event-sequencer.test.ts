import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createEventSequencer, type Sequenced } from './event-sequencer.ts';

const items = (...seqs: number[]) => seqs.map((seq) => ({ seq }));
const seqsOf = (given: readonly Sequenced[]) => given.map(({ seq }) => seq);

describe('createEventSequencer', () => {
  it('holds back what comes too early and drops what is known', () => {
    const sequencer = createEventSequencer({ heldMax: 10 });
    sequencer.restart(5);
    expect(seqsOf(sequencer.accept(items(4, 5, 6)))).toEqual([6]);
    expect(seqsOf(sequencer.accept(items(8, 10)))).toEqual([]);
    expect(seqsOf(sequencer.accept(items(7)))).toEqual([7, 8]);
    expect(sequencer.headSeq).toBe(8);
    expect(seqsOf(sequencer.accept(items(9, 10, 11)))).toEqual([9, 10, 11]);
  });

  it('gives out 1..n once each and in order, however messages are shuffled and repeated', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.array(fc.nat(59), { maxLength: 200 }), (count, extra) => {
        const sequencer = createEventSequencer({ heldMax: 100 });
        const arrivals = [...extra.map((value) => (value % count) + 1), ...Array.from({ length: count }, (_, index) => count - index)];
        const out = arrivals.flatMap((seq) => seqsOf(sequencer.accept(items(seq))));
        expect(out).toEqual(Array.from({ length: count }, (_, index) => index + 1));
      }),
    );
  });

  it('loses nothing when it could not hold everything back and the gap is filled from the log', () => {
    const sequencer = createEventSequencer({ heldMax: 2 });
    expect(sequencer.accept(items(5, 4, 3, 2))).toEqual([]);
    expect(seqsOf(sequencer.accept(items(1, 2, 3, 4, 5)))).toEqual([1, 2, 3, 4, 5]);
  });
});
