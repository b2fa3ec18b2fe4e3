import { describe, expect, it } from '@jest/globals';
import { preferredOverJson, requireAcceptable } from './accept.ts';

const JSON_ONLY = ['application/json'];
const WITH_CSV = ['application/json', 'text/csv'];
const outcome = (accept: string, types: readonly string[]) => {
  try {
    requireAcceptable(accept, types);
    return 'fine';
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe('requireAcceptable', () => {
  it.each([
    ['', JSON_ONLY],
    ['*/*', JSON_ONLY],
    ['application/*', JSON_ONLY],
    ['APPLICATION/JSON; charset=utf-8', JSON_ONLY],
    ['application/json;q=0.1', JSON_ONLY],
    ['application/problem+json', JSON_ONLY],
    ['application/json, application/problem+json', JSON_ONLY],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', JSON_ONLY],
    ['text/csv', WITH_CSV],
    ['text/*', WITH_CSV],
    ['application/json;q=0, text/csv', WITH_CSV],
    ['application/*;q=0, application/json', JSON_ONLY],
    ['json', JSON_ONLY],
    [', ;q=1', JSON_ONLY],
    ['text/html', []],
  ])('lets %j pass where %j is answered', (accept, types) => {
    expect(outcome(accept, types)).toBe('fine');
  });

  it.each([
    ['text/html', JSON_ONLY],
    ['text/csv', JSON_ONLY],
    ['text/event-stream', JSON_ONLY],
    ['application/xml, text/*', JSON_ONLY],
    ['application/jsonp', JSON_ONLY],
    ['application/json;q=0', JSON_ONLY],
    ['application/json;q=0, */*', JSON_ONLY],
    ['*/*;q=0', WITH_CSV],
    ['application/json;q=nonsense', JSON_ONLY],
    ['text/event-stream', WITH_CSV],
  ])('refuses %j where %j is answered', (accept, types) => {
    expect(outcome(accept, types)).toBe('not-acceptable');
  });
});

describe('preferredOverJson', () => {
  it.each(['text/csv', 'text/csv, */*', 'application/json;q=0.5, text/csv;q=0.5'])('is the named type for %s', (accept) => {
    expect(preferredOverJson(accept, ['text/csv'])).toBe('text/csv');
  });

  it.each([undefined, '*/*', 'text/*', 'text/csv;q=0', 'application/json, text/csv;q=0.9'])('is none for %s', (accept) => {
    expect(preferredOverJson(accept, ['text/csv'])).toBeUndefined();
  });
});
