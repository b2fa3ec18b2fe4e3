import { describe, expect, it } from '@jest/globals';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { eventFrame, farewellFrame, jitteredMs, PING_FRAME, progressFrame, resetFrame, retryFrame, slices } from './sse-frame.ts';

function parse(...chunks: Buffer[]): EventSourceMessage[] {
  const events: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (event) => events.push(event) });
  for (const chunk of chunks) parser.feed(chunk.toString());
  return events;
}

const event = (seq: number, type = 'log', data: Record<string, unknown> = {}) => ({
  seq,
  flowId: 'f',
  type,
  at: '2026-01-01T00:00:00.000Z',
  data,
});

describe('frames', () => {
  it('carry an event as one line of JSON whatever its text holds', () => {
    const nasty = 'a\nb\rc\r\nid: x.9\ndata: fake\n\nevent: bye\u2028\u0000é';
    const frame = eventFrame('epoch', event(3, 'log', { message: nasty }));
    expect(frame.bytes.toString().split('\n')).toHaveLength(5);
    expect(parse(frame.bytes)).toEqual([{ id: 'epoch.3', event: 'log', data: JSON.stringify(event(3, 'log', { message: nasty })) }]);
  });

  it('keep a type with line ends on its line', () => {
    expect(parse(eventFrame('epoch', event(1, 'log\ndata: x\r\n\r\n')).bytes)).toHaveLength(1);
  });

  it('know the events that end a run', () => {
    expect(
      ['flow.completed', 'flow.failed', 'flow.cancelled', 'import.undone', 'phase.failed'].map(
        (type) => eventFrame('e', event(1, type)).isEnd,
      ),
    ).toEqual([true, true, true, true, false]);
  });

  it('give progress, bye and refused no id, and reset one that can be continued', () => {
    const events = parse(
      progressFrame({ phase: 'a' }),
      farewellFrame('bye', { reason: 'shutdown', retryMs: 2_000 }),
      resetFrame('epoch', { epoch: 'e', afterSeq: 0 }),
      PING_FRAME,
      retryFrame(3_000),
    );
    expect(events).toEqual([
      { id: undefined, event: 'progress', data: '{"phase":"a"}' },
      { id: undefined, event: 'bye', data: '{"reason":"shutdown"}' },
      { id: 'e.0', event: 'reset', data: '{"reason":"epoch","epoch":"e"}' },
    ]);
  });
});

describe('slices', () => {
  const frames = [1, 2, 3, 4, 5].map((seq) => ({ seq, isEnd: false, bytes: Buffer.alloc(seq === 4 ? 50 : 10, seq) }));

  it('joins frames in order into pieces of the given size, larger frames alone', () => {
    const parts = [...slices(frames, 25)];
    expect(parts.map((part) => part.frames.map((frame) => frame.seq))).toEqual([[1, 2], [3], [4], [5]]);
    expect(Buffer.concat(parts.map((part) => part.bytes))).toEqual(Buffer.concat(frames.map((frame) => frame.bytes)));
  });

  it('shares the buffer of a single frame', () => {
    const [only] = [...slices(frames.slice(0, 1), 25)];
    expect(only?.bytes).toBe(frames[0]?.bytes);
    expect([...slices([], 25)]).toEqual([]);
  });
});

describe('jitteredMs', () => {
  it('spreads over the whole range', () => {
    const range = { minMs: 2_000, maxMs: 5_000 };
    expect([0, 0.5, 1].map((value) => jitteredMs(range, () => value))).toEqual([2_000, 3_500, 5_000]);
  });
});
