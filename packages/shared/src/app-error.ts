// The one error type that crosses package borders: a code of the error table, details that are safe to show, and the cause.
import { ERROR_TABLE, type ErrorCode } from './error-table.ts';

/** One fault in a request. `pointer` is an RFC 6901 JSON pointer into the body, or the name of the parameter or header. */
export type FieldError = { pointer: string; code: string; message: string };

export type AppErrorDetails = {
  /** A sentence for this occurrence. Must not contain secrets or unescaped input. */
  detail?: string;
  errors?: FieldError[];
  /** Seconds after which trying again makes sense; becomes Retry-After. */
  retryAfterSeconds?: number;
  /** Methods for the Allow header of a 405. */
  allow?: string[];
};

export class AppError extends Error {
  readonly code: ErrorCode;
  readonly details: AppErrorDetails;

  constructor(code: ErrorCode, details: AppErrorDetails = {}, options: { cause?: unknown } = {}) {
    super(details.detail ?? ERROR_TABLE[code].title, options);
    this.name = 'AppError';
    this.code = code;
    this.details = details;
  }
}

/** A 422 for one field. */
export function fieldError(code: ErrorCode, pointer: string, message: string): AppError {
  return new AppError(code, { detail: message, errors: [{ pointer, code, message }] });
}
