import { describe, expect, it } from '@jest/globals';
import { createKeys } from './keys.ts';

const keys = createKeys('{tag}');

describe('names in Redis', () => {
  it('are those that operators know', () => {
    expect([
      keys.progressState('w', 'f'),
      keys.progressChannel('w', 'f'),
      keys.updates('w', 'f'),
      keys.lock('w', 'r'),
      keys.keyRequests('w', 'k'),
      keys.addressRequests('::1'),
      keys.phaseLock('p'),
      keys.control(),
      keys.queuePrefix(),
    ]).toEqual([
      '{tag}:w:agent:state:f',
      '{tag}:w:agent:progress:f',
      '{tag}:w:flow:updates:f',
      '{tag}:w:lock:r',
      '{tag}:w:rate_limit:key:k',
      '{tag}:rate_limit:address:::1',
      '{tag}:lock:phase:p',
      '{tag}:control',
      '{tag}:queue',
    ]);
  });

  it('all begin with the one hash tag, so that a cluster keeps them together', () => {
    const names = [
      keys.progressState('w', 'f'),
      keys.progressChannel('w', 'f'),
      keys.updates('w', 'f'),
      keys.lock('w', '{other}'),
      keys.keyRequests('w', 'k'),
      keys.addressRequests('{other}'),
      keys.phaseLock('p'),
      keys.control(),
      keys.queuePrefix(),
    ];
    expect(names.filter((name) => !name.startsWith('{tag}:'))).toEqual([]);
  });

  it('are different for different workspaces', () => {
    expect(new Set([keys.lock('a', 'r'), keys.lock('b', 'r'), keys.updates('a', 'f'), keys.updates('b', 'f')]).size).toBe(4);
  });
});
