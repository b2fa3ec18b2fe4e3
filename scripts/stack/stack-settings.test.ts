// What the variables mean and how faults are told.
import { describe, expect, it } from '@jest/globals';
import { placeOf, readStackSettings } from './stack-settings.ts';

describe('readStackSettings', () => {
  it('has defaults for everything', () => {
    expect(readStackSettings({ MILLRACE_HOME: '', REDIS_URL: ' ' }, '/repo')).toEqual({
      home: '/repo/.millrace',
      port: 8080,
      host: '127.0.0.1',
      workers: 2,
      adminKey: undefined,
      databaseUrl: undefined,
      redisUrl: undefined,
    });
  });

  it.each([
    [{ REDIS_URL: 'redis://a:1', UPSTASH_REDIS_URL: 'rediss://b:2' }, 'redis://a:1'],
    [{ UPSTASH_REDIS_URL: 'rediss://b:2' }, 'rediss://b:2'],
  ])('takes REDIS_URL before UPSTASH_REDIS_URL: %j', (env, expected) => {
    expect(readStackSettings(env, '/repo').redisUrl).toBe(expected);
  });

  it.each([
    ['0.0.0.0', '127.0.0.1'],
    ['::', '127.0.0.1'],
    ['::1', '[::1]'],
    ['10.0.0.7', '10.0.0.7'],
  ])('reaches an API that listens on %s at %s', (host, expected) => {
    expect(readStackSettings({ MILLRACE_HOST: host }, '/repo').host).toBe(expected);
  });

  it('reports all faults at once and shows no secret', () => {
    const env = { MILLRACE_PORT: '99999', MILLRACE_WORKERS: '0', MILLRACE_ADMIN_KEY: 'mr_short', DATABASE_URL: 'mysql://u:secret@h/d' };
    expect(() => readStackSettings(env, '/repo')).toThrow(expect.objectContaining({ kind: 'configuration', exitCode: 78 }));
    const message = messageOf(() => readStackSettings(env, '/repo'));
    for (const name of Object.keys(env)) expect(message).toContain(name);
    expect(message).not.toMatch(/secret|mr_short/);
  });
});

describe('placeOf', () => {
  it('names host and port, never the password', () => {
    expect(placeOf('postgresql://user:secret@db.example:5433/x')).toBe('db.example:5433');
  });
});

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return error instanceof Error ? error.message : '';
  }
  return '';
}
