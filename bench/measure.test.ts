import { describe, expect, it } from '@jest/globals';
import { alone, besidePeer, formatTable } from './measure.ts';

const what = { scenario: 's', metric: 'm', unit: '1/s' };

describe('a figure beside a peer', () => {
  it.each([
    { ours: 50, peer: 100, goal: 0.5, higherIsBetter: true, ratio: 0.5, ok: true },
    { ours: 49.96, peer: 100, goal: 0.5, higherIsBetter: true, ratio: 0.5, ok: false },
    { ours: 300, peer: 100, goal: 3, higherIsBetter: false, ratio: 3, ok: true },
    { ours: 301, peer: 100, goal: 3, higherIsBetter: false, ratio: 3.01, ok: false },
  ])('$ours by $peer with goal $goal', ({ ratio, ok, ...figure }) => {
    expect(besidePeer({ ...what, peerName: 'p', ...figure })).toMatchObject({ ratio, ok });
  });

  it('is not judged when the peer was left out', () => {
    expect(besidePeer({ ...what, ours: 1, peer: null, peerName: 'p', goal: 0.5 })).toMatchObject({ peer: null, ratio: null, ok: null });
  });
});

describe('a figure without a peer', () => {
  it.each([
    { ours: 4.99, goal: 5, ok: true },
    { ours: 5.01, goal: 5, ok: false },
    { ours: 9, goal: null, ok: null },
  ])('$ours with goal $goal', ({ ours, goal, ok }) => {
    expect(alone({ ...what, ours, goal })).toMatchObject({ ok, peer: null, peerName: null, ratio: null });
  });
});

it('says in the table which goals were missed and which peers were left out', () => {
  const table = formatTable([
    besidePeer({ ...what, ours: 1_234, peer: 10_000, peerName: 'BullMQ', goal: 0.5 }),
    besidePeer({ ...what, ours: 1_234, peer: null, peerName: 'Celery', goal: 8 }),
    alone({ ...what, ours: 1, goal: 5 }),
  ]);
  expect(table.split('\n')).toEqual([
    'scenario  metric   ours   peer              ratio  goal',
    's         m (1/s)  1,234  10,000 BullMQ     0.123  0.5   MISSED',
    's         m (1/s)  1,234  left out: Celery  -      8',
    's         m (1/s)  1      -                 -      5     ok',
  ]);
});
