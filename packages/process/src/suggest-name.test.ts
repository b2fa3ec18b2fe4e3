import { describe, expect, it } from '@jest/globals';
import { suggestName } from './suggest-name.ts';

const KNOWN = ['MILLRACE_PORT', 'MILLRACE_HOST', 'MILLRACE_LOG_LEVEL'];

describe('suggestName', () => {
  it.each([
    ['MILLRACE_PRT', 'MILLRACE_PORT'],
    ['MILLRACE_PROT', 'MILLRACE_PORT'],
    ['MILLRACE_HOTS', 'MILLRACE_HOST'],
    ['MILLRACE_LOGLEVEL', 'MILLRACE_LOG_LEVEL'],
    ['MILLRACE_LOG_LEVELS', 'MILLRACE_LOG_LEVEL'],
  ])('answers the nearest name for %s', (name, nearest) => {
    expect(suggestName(name, KNOWN)).toBe(nearest);
  });

  it.each(['MILLRACE_SOMETHING_ELSE', '', 'PORT'])('has no answer for %j, which is no slip of the finger', (name) => {
    expect(suggestName(name, KNOWN)).toBeUndefined();
  });

  it('has no answer when nothing is known', () => {
    expect(suggestName('a', [])).toBeUndefined();
  });
});
