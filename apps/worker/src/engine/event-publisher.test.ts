import { describe, expect, it } from '@jest/globals';
import type { LoggedEvent } from '@millrace/store';
import { bySubject } from './event-publisher.ts';

const event = (subjectId: string, seq: number, more: Partial<LoggedEvent> = {}): LoggedEvent => ({
  subjectId,
  seq,
  workspace: 'default',
  type: 'log',
  phase: null,
  at: '2026-01-02T03:04:05.678901+00:00',
  data: {},
  ...more,
});

describe('bySubject', () => {
  it('makes one message per subject with its events in their order', () => {
    const messages = bySubject([event('a', 1), event('b', 7), event('a', 2), event('b', 8), event('a', 3)]);
    expect(messages.map(({ subjectId, json }) => [subjectId, (JSON.parse(json) as { seq: number }[]).map(({ seq }) => seq)])).toEqual([
      ['a', [1, 2, 3]],
      ['b', [7, 8]],
    ]);
  });

  it('writes events as clients read them', () => {
    const [flow, imported] = bySubject([
      event('a', 1, { type: 'phase.started', phase: 'only', data: { attempt: 1 } }),
      event('i', 1, { type: 'import.queued', workspace: 'other' }),
    ]);
    expect(JSON.parse(flow?.json ?? '')).toEqual([
      { seq: 1, flowId: 'a', type: 'phase.started', phase: 'only', at: '2026-01-02T03:04:05.678Z', data: { attempt: 1 } },
    ]);
    expect(imported).toMatchObject({ workspace: 'other', subjectId: 'i' });
    expect(JSON.parse(imported?.json ?? '')).toEqual([
      { seq: 1, importId: 'i', type: 'import.queued', at: '2026-01-02T03:04:05.678Z', data: {} },
    ]);
  });

  it('makes nothing of nothing', () => {
    expect(bySubject([])).toEqual([]);
  });
});
