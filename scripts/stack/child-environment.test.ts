// What the services see.
import { describe, expect, it } from '@jest/globals';
import { childEnvironment } from './child-environment.ts';

describe('childEnvironment', () => {
  it('keeps the environment of the user and puts what the supervisor decided over it', () => {
    const env = { PATH: '/usr/bin', MILLRACE_SELFTEST: '1', MILLRACE_FLOWS: '/flows', DATABASE_URL: 'old', HOME: '/home/me' };
    const child = childEnvironment(env, {
      root: '/repo',
      home: '/state',
      compileCache: '/state/cache',
      databaseUrl: 'postgresql://d',
      redisUrl: 'redis://r',
      port: 8081,
      adminKey: 'mr_key',
    });
    expect(child).toEqual({
      PATH: '/repo/node_modules/.bin:/usr/bin',
      MILLRACE_SELFTEST: '1',
      MILLRACE_FLOWS: '/flows',
      HOME: '/home/me',
      DATABASE_URL: 'postgresql://d',
      REDIS_URL: 'redis://r',
      MILLRACE_HOME: '/state',
      NODE_COMPILE_CACHE: '/state/cache',
      MILLRACE_PORT: '8081',
      MILLRACE_ADMIN_KEY: 'mr_key',
    });
  });
});
