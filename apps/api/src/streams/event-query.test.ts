import { describe, expect, it } from '@jest/globals';
import { AppError } from '@millrace/shared';
import { eventQuery, pageQueryOf, streamQueryOf } from './event-query.ts';

function pointerOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return error instanceof AppError && error.code === 'validation' ? error.details.errors?.[0]?.pointer : 'another error';
  }
}

describe('the query of a page', () => {
  it('begins at seq 1 with 50 events unless said', () => {
    expect(pageQueryOf(eventQuery.parse({}))).toEqual({ direction: 'after', seq: 0, types: undefined, limit: 50, cursor: undefined });
  });

  it('takes a seq in either direction, types and a limit', () => {
    expect(pageQueryOf({ after: '7', limit: '200' })).toMatchObject({ direction: 'after', seq: 7, limit: 200 });
    expect(pageQueryOf({ before: '7', type: 'phase.failed,log,log' })).toMatchObject({
      direction: 'before',
      seq: 7,
      types: ['log', 'phase.failed'],
    });
  });

  it.each([
    [{ after: '-1' }, 'after'],
    [{ after: '1e3' }, 'after'],
    [{ after: '' }, 'after'],
    [{ before: '9'.repeat(20) }, 'before'],
    [{ after: '1', before: '2' }, 'before'],
    [{ limit: '0' }, 'limit'],
    [{ limit: '201' }, 'limit'],
    [{ limit: 'x' }, 'limit'],
    [{ type: 'LOG' }, 'type'],
    [{ type: 'log,' }, 'type'],
    [{ until: 'end' }, 'until'],
  ])('refuses %j', (query, pointer) => {
    expect(pointerOf(() => pageQueryOf(query))).toBe(pointer);
  });
});

describe('the query of a stream', () => {
  it('takes any cursor, since an EventSource that meets an error never comes back', () => {
    expect(streamQueryOf({ after: 'garbage', until: 'end' })).toEqual({ after: 'garbage', untilEnd: true });
    expect(streamQueryOf({})).toEqual({ after: undefined, untilEnd: false });
  });

  it.each([
    [{ until: 'never' }, 'until'],
    [{ before: '1' }, 'before'],
    [{ limit: '1' }, 'limit'],
    [{ type: 'log' }, 'type'],
    [{ cursor: 'x' }, 'cursor'],
  ])('refuses %j', (query, pointer) => {
    expect(pointerOf(() => streamQueryOf(query))).toBe(pointer);
  });
});
