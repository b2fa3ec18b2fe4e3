import { describe, expect, it } from '@jest/globals';
import { wantsEventStream } from './wants-event-stream.ts';

describe('wantsEventStream', () => {
  it.each([
    'text/event-stream',
    'TEXT/Event-Stream',
    'text/event-stream, */*',
    'application/json;q=0.5, text/event-stream',
    'text/event-stream;q=0.9;x=1, text/html',
  ])('is true for %s', (accept) => {
    expect(wantsEventStream(accept)).toBe(true);
  });

  it.each([
    undefined,
    '',
    '*/*',
    'text/*',
    'application/json',
    'text/event-stream;q=0',
    'text/event-stream;q=x',
    'application/json, text/event-stream;q=0.5',
    'text/event-streams',
  ])('is false for %s', (accept) => {
    expect(wantsEventStream(accept)).toBe(false);
  });
});
