import { describe, expect, it } from '@jest/globals';
import { parseEvents, parseProgress } from './event-messages.ts';

describe('parseEvents', () => {
  it('reads an array of events', () => {
    const events = [
      { seq: 1, flowId: 'f', type: 'log', at: '', data: {} },
      { seq: 2, importId: 'i', type: 'import.queued', at: '', data: {} },
    ];
    expect(parseEvents(JSON.stringify(events))).toEqual(events);
  });

  it.each([
    '',
    'x',
    'null',
    '{}',
    '[1]',
    '[null]',
    '[{"seq":0,"type":"log","flowId":"f"}]',
    '[{"seq":1.5,"type":"log","flowId":"f"}]',
    '[{"seq":1,"type":2,"flowId":"f"}]',
    '[{"seq":1,"type":"log"}]',
  ])('answers undefined for %s', (message) => {
    expect(parseEvents(message)).toBeUndefined();
  });
});

describe('parseProgress', () => {
  it('reads a report and its phase', () => {
    expect(parseProgress('{"phase":"a","fraction":0.5}')).toEqual({ phase: 'a', report: { phase: 'a', fraction: 0.5 } });
  });

  it.each(['', '[]', 'null', '{"phase":1}', '{}'])('answers undefined for %s', (message) => {
    expect(parseProgress(message)).toBeUndefined();
  });
});
