// The configuration of the embedded Redis and what servers say of their version.
import { describe, expect, it } from '@jest/globals';
import { parseRedisVersion, redisConfigText } from './redis-config.ts';

describe('redisConfigText', () => {
  it('is durable, evicts nothing, asks for the password and copes with any folder name', () => {
    const text = redisConfigText({ bind: '127.0.0.1', port: 20_001, dir: '/a "b"\\c', password: 'pw' });
    expect(text.split('\n')).toEqual(
      expect.arrayContaining([
        'bind 127.0.0.1',
        'port 20001',
        'dir "/a \\"b\\"\\\\c"',
        'requirepass "pw"',
        'appendonly yes',
        'appendfsync everysec',
        'maxmemory-policy noeviction',
      ]),
    );
  });
});

describe('parseRedisVersion', () => {
  it.each([
    ['Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64', { product: 'Redis', version: '7.0.15', major: 7, minor: 0 }],
    ['Valkey server v=8.1.1 sha=0', { product: 'Valkey', version: '8.1.1', major: 8, minor: 1 }],
    ['something else', undefined],
  ])('reads %j', (output, expected) => {
    expect(parseRedisVersion(output)).toEqual(expected);
  });
});
