import { describe, expect, it } from '@jest/globals';
import { bodyOf, marked, type FromChild } from './messages.ts';

describe('a message between a worker and the process of a phase', () => {
  it('is known by its mark', () => {
    expect(bodyOf<FromChild>(marked<FromChild>({ type: 'started' }))).toEqual({ type: 'started' });
  });

  it.each([null, 'started', 7, { type: 'started' }, { mark: 'other', body: { type: 'started' } }])(
    'is passed over when it is %j',
    (message) => {
      expect(bodyOf<FromChild>(message)).toBeUndefined();
    },
  );
});
