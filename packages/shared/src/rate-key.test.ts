import { describe, expect, it } from '@jest/globals';
import { limitKeyOf, limitNameOf } from './rate-key.ts';

describe('the key of a rate limit', () => {
  it('is its name, or name and value, and tells the name again', () => {
    expect([limitKeyOf('api', undefined), limitKeyOf('api', ''), limitKeyOf('api', 'a:b')]).toEqual(['api', 'api:', 'api:a:b']);
    for (const value of [undefined, '', 'a:b']) expect(limitNameOf(limitKeyOf('api', value))).toBe('api');
  });

  it('cuts long values without leaving half a character', () => {
    const key = limitKeyOf('api', `${'x'.repeat(199)}🙂`);
    expect([key.length, key.isWellFormed()]).toEqual([204, true]);
  });
});
