import { describe, expect, it } from '@jest/globals';
import { formatEventId, startPoint } from './event-id.ts';

const LOG = { epoch: 'abc123', seqLast: 10 };
const start = (lastEventId: string | undefined, after?: string) => startPoint({ lastEventId, after }, LOG);

describe('startPoint', () => {
  it('begins at the beginning without a cursor, an empty one included', () => {
    expect(start(undefined)).toEqual({ kind: 'after', seq: 0 });
    expect(start('', '')).toEqual({ kind: 'after', seq: 0 });
  });

  it('goes on after its own ids up to the head', () => {
    for (const seq of [0, 1, 10]) expect(start(formatEventId('abc123', seq))).toEqual({ kind: 'after', seq });
  });

  it('lets Last-Event-ID win over after', () => {
    expect(start('abc123.4', '7')).toEqual({ kind: 'after', seq: 4 });
    expect(start('garbage', '7')).toEqual({ kind: 'reset', reason: 'malformed' });
  });

  it('takes a plain seq or an id as after, but only ids as Last-Event-ID', () => {
    expect(start(undefined, '7')).toEqual({ kind: 'after', seq: 7 });
    expect(start(undefined, 'abc123.7')).toEqual({ kind: 'after', seq: 7 });
    expect(start('7')).toEqual({ kind: 'reset', reason: 'malformed' });
  });

  it.each([
    'abc',
    '-1',
    'abc123.-1',
    'abc123.01',
    'abc123.1.2',
    'abc123.',
    '.5',
    'abc123.1e3',
    'abc123. 5',
    `abc123.${'9'.repeat(20)}`,
    'x'.repeat(10_000),
    'abc123.5\r\nabc123.6',
  ])('starts over for %j', (id) => {
    expect(start(id)).toEqual({ kind: 'reset', reason: 'malformed' });
  });

  it('starts over for another epoch and for an id ahead of the head', () => {
    expect(start('def456.1')).toEqual({ kind: 'reset', reason: 'epoch' });
    expect(start('abc123.11')).toEqual({ kind: 'reset', reason: 'ahead' });
    expect(start(undefined, '4294967296')).toEqual({ kind: 'reset', reason: 'ahead' });
  });
});
