import { STATUS_CODES } from 'node:http';
import { describe, expect, it } from '@jest/globals';
import { AppError, fieldError } from './app-error.ts';
import { ERROR_TABLE, type ErrorClass, type ErrorCode } from './error-table.ts';

const CLASSES_OF_STATUS: Record<number, readonly ErrorClass[]> = {
  400: ['invalid'],
  401: ['unauthorized'],
  403: ['forbidden', 'limited'],
  404: ['not-found'],
  405: ['invalid'],
  406: ['invalid'],
  408: ['invalid'],
  409: ['conflict'],
  412: ['conflict'],
  413: ['invalid'],
  415: ['invalid'],
  422: ['invalid'],
  429: ['limited'],
  500: ['bug'],
  503: ['transient'],
  507: ['limited'],
};
const CONTRACT: Record<number, readonly string[]> = {
  400: ['malformed-json', 'empty-body', 'invalid-encoding', 'invalid-cursor', 'idempotency-key-invalid'],
  401: ['unauthorized', 'invalid-credentials'],
  403: ['insufficient-role', 'csrf', 'quota-exceeded'],
  404: ['not-found'],
  405: ['method-not-allowed'],
  406: ['not-acceptable'],
  408: ['request-timeout'],
  409: ['invalid-state', 'idempotency-in-progress', 'already-exists'],
  412: ['precondition-failed'],
  413: ['payload-too-large'],
  415: ['unsupported-media-type', 'unsupported-file'],
  422: [
    'validation',
    'unknown-field',
    'unknown-flow',
    'unknown-dataset',
    'invalid-flow',
    'invalid-id',
    'forbidden-key',
    'nul-character',
    'invalid-unicode',
    'too-deep',
    'idempotency-key-reused',
    'url-not-allowed',
    'empty-file',
  ],
  429: ['rate-limited'],
  500: ['internal'],
  503: ['dependency-unavailable'],
  507: ['insufficient-storage'],
};
const rows = Object.entries(ERROR_TABLE);

describe('the error table', () => {
  it('has exactly the codes that clients were promised, each with its status', () => {
    const byStatus = Object.groupBy(rows, ([, row]) => row.status);
    const codes = Object.fromEntries(
      Object.entries(byStatus).map(([status, group]) => [status, (group ?? []).map(([code]) => code).toSorted()]),
    );
    expect(codes).toEqual(Object.fromEntries(Object.entries(CONTRACT).map(([status, names]) => [status, names.toSorted()])));
  });

  it.each(rows)('gives %s a class that fits its status, and a sentence as title', (code, row) => {
    expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/);
    expect(Object.keys(STATUS_CODES)).toContain(String(row.status));
    expect(CLASSES_OF_STATUS[row.status]).toContain(row.class);
    expect(row.title).toMatch(/^[A-Z].*\.$/);
  });
});

describe('AppError', () => {
  it.each(Object.keys(ERROR_TABLE) as ErrorCode[])('of code %s has the title as its message unless there is a detail', (code) => {
    expect(new AppError(code).message).toBe(ERROR_TABLE[code].title);
    expect(new AppError(code, { detail: 'This one.' })).toMatchObject({ name: 'AppError', message: 'This one.', code });
  });

  it('keeps its cause', () => {
    const cause = new Error('inner');
    expect(new AppError('internal', {}, { cause }).cause).toBe(cause);
  });

  it('names the field at fault', () => {
    expect(fieldError('validation', '/input/ms', 'must be a number').details).toEqual({
      detail: 'must be a number',
      errors: [{ pointer: '/input/ms', code: 'validation', message: 'must be a number' }],
    });
  });
});
