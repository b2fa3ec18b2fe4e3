import { describe, expect, it } from '@jest/globals';
import { AppError } from '@millrace/shared';
import { asAppError, isDataFault, isTransient } from './database.ts';

const coded = (code: unknown, message = 'no') => Object.assign(new Error(message), { code });

describe('isTransient', () => {
  it.each([
    ['a lost connection', coded('08006')],
    ['no connection slots', coded('53300')],
    ['a full disk', coded('53100')],
    ["an administrator's shutdown", coded('57P01')],
    ['a starting server', coded('57P03')],
    ['a deadlock', coded('40P01')],
    ['a serialization failure', coded('40001')],
    ['a lock time-out', coded('55P03')],
    ['an idle transaction that was ended', coded('25P03')],
    ['a refused connection', coded('ECONNREFUSED')],
    ['a reset connection', coded('ECONNRESET')],
    ['a name that is not resolved', coded('EAI_AGAIN')],
    ['a pool that is used up', new Error('timeout exceeded when trying to connect')],
    ['a connection that ended', new Error('Connection terminated unexpectedly')],
    ['several addresses that all refuse', Object.assign(new Error(''), { errors: [coded('ECONNREFUSED')] })],
    ['what was found to be so before', new AppError('dependency-unavailable')],
  ])('is true for %s', (_, error) => {
    expect(isTransient(error)).toBe(true);
  });

  it.each([
    ['a constraint', coded('23505')],
    ['bad data', coded('22P02')],
    ['a syntax error', coded('42601')],
    ['a missing table', coded('42P01')],
    ["a program's own error", new Error('no')],
    ['a code that is a number', coded(40_001)],
    ['nothing', undefined],
    ['null', null],
    ['text', 'ECONNREFUSED'],
    ['another error of the table', new AppError('internal')],
  ])('is false for %s', (_, error) => {
    expect(isTransient(error)).toBe(false);
  });
});

describe('isDataFault', () => {
  it('is true for bad data, broken constraints and exceeded limits, and for nothing else', () => {
    expect(['22P05', '23505', '54001'].map((code) => isDataFault(coded(code)))).toEqual([true, true, true]);
    expect([coded('40001'), coded('42601'), new Error('22P05'), null].map((error) => isDataFault(error))).toEqual([
      false,
      false,
      false,
      false,
    ]);
  });
});

describe('asAppError', () => {
  it('wraps what means "not now" and keeps the cause, and leaves the rest as it is', () => {
    const [lost, bad, wrapped] = [coded('57P01'), coded('23505'), new AppError('dependency-unavailable')];
    expect(asAppError(lost)).toMatchObject({ code: 'dependency-unavailable', cause: lost });
    expect(asAppError(bad)).toBe(bad);
    expect(asAppError(wrapped)).toBe(wrapped);
  });

  it('does not show where the database is', () => {
    expect(String(asAppError(coded('ECONNREFUSED', 'connect ECONNREFUSED 10.0.0.7:5432')))).not.toContain('10.0.0.7');
  });
});
