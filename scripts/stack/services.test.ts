// What workers of one machine are told.
import { describe, expect, it } from '@jest/globals';
import { stopDeadlineMs, workerEnvironment } from './services.ts';

describe('workerEnvironment', () => {
  it('gives each worker a metrics port of its own', () => {
    expect([0, 1].map((index) => workerEnvironment({ MILLRACE_METRICS_PORT: '9100' }, index)['MILLRACE_METRICS_PORT'])).toEqual([
      '9100',
      '9101',
    ]);
  });

  it.each([{}, { MILLRACE_METRICS_PORT: '0' }, { MILLRACE_METRICS_PORT: 'x' }])('leaves %j as it is', (env) => {
    expect(workerEnvironment(env, 1)).toBe(env);
  });
});

describe('stopDeadlineMs', () => {
  it.each([
    [{}, 25_000],
    [{ MILLRACE_STOP_TIMEOUT_MS: '1000' }, 25_000],
    [{ MILLRACE_STOP_TIMEOUT_MS: '60000' }, 65_000],
    [{ MILLRACE_STOP_TIMEOUT_MS: 'x' }, 25_000],
  ])('with %j a service has %d ms', (env, expected) => {
    expect(stopDeadlineMs(env)).toBe(expected);
  });
});
