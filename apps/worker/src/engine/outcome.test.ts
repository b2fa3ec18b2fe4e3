import { runInNewContext } from 'node:vm';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { PermanentError } from '@millrace/sdk';
import { AppError, DEFAULT_RETRY } from '@millrace/shared';
import {
  AttemptEnded,
  LockUnavailable,
  outcomeOfThrown,
  PhaseStopped,
  RateLimited,
  retryDelayMs,
  timeoutError,
  type StopReason,
} from './outcome.ts';

const failure = (thrown: unknown) => {
  const outcome = outcomeOfThrown(thrown, undefined);
  if (outcome.kind !== 'failed') throw new Error(`it became ${outcome.kind}`);
  return outcome;
};
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
const lying = (properties: PropertyDescriptorMap) => Object.defineProperties(new Error('true'), properties);
const boom = () => {
  throw new Error('boom');
};

describe('what a handler throws', () => {
  it('fails the attempt with code, message and stack', () => {
    const thrown = new TypeError('x is not a function');
    expect(failure(thrown)).toEqual({
      kind: 'failed',
      permanent: false,
      error: { code: 'TypeError', message: 'x is not a function', stack: thrown.stack },
    });
  });

  it('is grouped by its code when it has one', () => {
    expect(failure(Object.assign(new Error('no'), { code: 'ECONNREFUSED' })).error.code).toBe('ECONNREFUSED');
    expect(failure(Object.assign(new Error('no'), { code: '' })).error.code).toBe('Error');
    expect(failure(Object.assign(new Error('no'), { code: 42 })).error.code).toBe('Error');
  });

  it('is final when it says so', () => {
    expect(failure(new PermanentError('never again'))).toMatchObject({
      permanent: true,
      error: { code: 'PermanentError', message: 'never again' },
    });
  });

  it('is taken for an error also when it comes from another realm', () => {
    expect(failure(runInNewContext("new RangeError('far away')")).error).toMatchObject({ code: 'RangeError', message: 'far away' });
    expect(failure(runInNewContext("Object.assign(new Error('for ever'), { name: 'PermanentError' })")).permanent).toBe(true);
  });

  it.each<[string, unknown, string]>([
    ['null', null, 'null'],
    ['undefined', undefined, 'undefined'],
    ['a string', 'just text', 'just text'],
    ['an empty string', '', ''],
    ['a number', 42, '42'],
    ['a BigInt', 42n, '42'],
    ['a symbol', Symbol('s'), 'Symbol(s)'],
    ['a plain object', { reason: 'x' }, '{"reason":"x"}'],
    ['an object without prototype', Object.create(null), '{}'],
    ['an object that claims to be an error', { name: 'Error', message: 'false' }, '{"name":"Error","message":"false"}'],
    ['an object that cannot be written', { n: 1n }, 'object'],
    ['an object that throws when written', { toJSON: boom }, 'object'],
    ['a revoked proxy', revoked(), 'object'],
  ])('may be %s', (_, thrown, shown) => {
    expect(failure(thrown)).toEqual({
      kind: 'failed',
      permanent: false,
      error: { code: 'error', message: `something that is no Error was thrown: ${shown}` },
    });
  });

  it.each<[string, Error]>([
    ['a message that throws', lying({ message: { get: boom } })],
    ['a message that cannot be text', lying({ message: { value: { toString: boom } } })],
    ['a message that is a symbol', lying({ message: { value: Symbol('s') } })],
    ['a name that is a number', lying({ name: { value: 42 } })],
    ['a name that throws', lying({ name: { get: boom } })],
    ['a code that throws', lying({ code: { get: boom } })],
    ['a stack that throws', lying({ stack: { get: boom } })],
  ])('may be an error with %s', (_, thrown) => {
    const { error } = failure(thrown);
    expect([typeof error.code, typeof error.message]).toEqual(['string', 'string']);
    expect(error.code).not.toBe('');
  });

  it('never brings NUL, lone surrogates or boundless text into the database', () => {
    const { error } = failure(
      Object.assign(new Error(`a\0b\ud800${'😀'.repeat(5_000)}`), { code: `c\0${'x'.repeat(500)}`, stack: 'y\0'.repeat(50_000) }),
    );
    expect(error.message).toMatch(/^a\\0b\ufffd😀/);
    for (const [text, max] of [
      [error.message, 2_000],
      [error.code, 100],
      [error.stack ?? '', 8_000],
    ] as const) {
      expect(text.isWellFormed() && !text.includes('\0')).toBe(true);
      expect(text.length).toBeLessThanOrEqual(max);
    }
  });

  it('always becomes an outcome that can be stored', () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true, withNullPrototype: true, withDate: true, withMap: true }), (thrown) => {
        const { error } = failure(thrown);
        expect(error.message.isWellFormed() && !error.message.includes('\0')).toBe(true);
      }),
    );
  });
});

describe("what is nobody's failure", () => {
  it('goes back at no cost when a part of ours was not available', () => {
    expect(outcomeOfThrown(new AppError('dependency-unavailable'), undefined)).toEqual({
      kind: 'interrupted',
      reason: 'dependency-unavailable',
      delayMs: 2_000,
    });
  });

  it('goes back at no cost when a lock was held', () => {
    expect(outcomeOfThrown(new RateLimited('api', 5_000), undefined)).toEqual({
      kind: 'interrupted',
      reason: 'rate-limited',
      delayMs: 5_000,
    });
    expect(outcomeOfThrown(new LockUnavailable('account'), undefined)).toEqual({
      kind: 'interrupted',
      reason: 'lock-held',
      delayMs: 1_000,
    });
  });

  it('does not cover other errors of the table', () => {
    expect(failure(new AppError('validation')).error.code).toBe('validation');
  });
});

describe('what a stand-in for a handler knows', () => {
  it('is how the attempt ended, unless somebody told it to stop', () => {
    const outcome = { kind: 'failed', error: { code: 'http-503', message: 'no' }, permanent: false, retryAfterMs: 5 } as const;
    expect(outcomeOfThrown(new AttemptEnded(outcome), undefined)).toEqual(outcome);
    expect(outcomeOfThrown(new AttemptEnded(outcome), 'shutdown')).toMatchObject({ kind: 'interrupted' });
  });

  it('is told in any case when it is written already', () => {
    const outcome = { kind: 'waiting', committed: true } as const;
    for (const stopped of [undefined, 'shutdown', 'soft-timeout', 'lease-lost', 'cancelled'] as const)
      expect(outcomeOfThrown(new AttemptEnded(outcome), stopped)).toEqual(outcome);
  });
});

describe('a handler that was told to stop', () => {
  const outcomes: [StopReason, unknown][] = [
    ['cancelled', { kind: 'abandoned', reason: 'cancelled' }],
    ['lease-lost', { kind: 'abandoned', reason: 'lease-lost' }],
    ['shutdown', { kind: 'interrupted', reason: 'shutdown', delayMs: 0 }],
    ['soft-timeout', { kind: 'failed', error: timeoutError('soft-timeout'), permanent: false }],
    ['hard-timeout', { kind: 'failed', error: timeoutError('hard-timeout'), permanent: false }],
  ];

  it.each(outcomes)('for %s ends as its reason says, whatever it throws', (reason, expected) => {
    for (const thrown of [
      new PhaseStopped(reason),
      new Error('other'),
      null,
      new PermanentError('no'),
      new AppError('dependency-unavailable'),
    ])
      expect(outcomeOfThrown(thrown, reason)).toEqual(expected);
  });
});

describe('retryDelayMs', () => {
  const exact = { ...DEFAULT_RETRY, backoff: { ...DEFAULT_RETRY.backoff, jitter: 0 } };

  it('doubles from attempt to attempt until there is none left', () => {
    expect([1, 2, 3, 4].map((attempt) => retryDelayMs({ attempt, attemptMax: 4, permanent: false }, exact, 0.5))).toEqual([
      60_000,
      120_000,
      240_000,
      null,
    ]);
  });

  it('allows none after a failure that is final', () => {
    expect(retryDelayMs({ attempt: 1, attemptMax: 4, permanent: true }, exact, 0.5)).toBeNull();
  });
});
