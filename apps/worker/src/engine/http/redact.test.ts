import { describe, expect, it } from '@jest/globals';
import { redact } from './redact.ts';

describe('redact', () => {
  it('takes out every hidden text, the longer ones first', () => {
    expect(redact('a=secret-1 b=secret-1-and-more c=secret-1', ['secret-1', 'secret-1-and-more'])).toBe(
      'a=[redacted] b=[redacted] c=[redacted]',
    );
  });

  it('takes out the credentials of a header without their scheme, too', () => {
    expect(redact('bad token abcdefgh123', ['Bearer abcdefgh123'])).toBe('bad token [redacted]');
  });

  it('leaves texts that are too short to be secrets', () => {
    expect(redact('no holes here', ['no', '', 'e'])).toBe('no holes here');
  });
});
