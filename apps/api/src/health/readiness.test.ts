// What readiness says of each state of the servers.
import { describe, expect, it } from '@jest/globals';
import { createReadiness } from './readiness.ts';

const make = ({ version = 3, redis = true }: { version?: number | Error; redis?: boolean } = {}) =>
  createReadiness({
    schemaVersion: () => (version instanceof Error ? Promise.reject(version) : Promise.resolve(version)),
    schemaVersionNeeded: () => Promise.resolve(3),
    isRedisReady: () => redis,
  });

describe('readiness', () => {
  it.each([
    [{}, { status: 'ok', parts: { postgres: 'ok', redis: 'ok' } }],
    [{ redis: false }, { status: 'degraded', parts: { postgres: 'ok', redis: 'away' } }],
    [{ version: 4 }, { status: 'ok', parts: { postgres: 'ok', redis: 'ok' } }],
  ])('of %p is %p', async (state, expected) => {
    expect(await make(state).check()).toEqual(expected);
  });

  it.each([
    [{ version: 2 }, 'run npm run migrate'],
    [{ version: 0 }, 'run npm run migrate'],
    [{ version: new Error('connect ECONNREFUSED 10.0.0.1') }, 'PostgreSQL is away.'],
  ])('of %p says: %s', async (state, text) => {
    await expect(make(state).check()).rejects.toMatchObject({
      code: 'dependency-unavailable',
      details: { detail: expect.stringContaining(text) },
    });
  });

  it('ends when the process begins to stop', async () => {
    const readiness = make();
    readiness.beginStopping();
    await expect(readiness.check()).rejects.toMatchObject({ code: 'dependency-unavailable' });
  });
});
