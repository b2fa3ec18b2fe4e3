// Runs a zod schema over a parsed value and turns its issues into our 422 with pointers.
import { AppError, type FieldError } from '@millrace/shared';
import type { z } from 'zod';
import { jsonPointer } from './check-json-tree.ts';

/** More would only be noise. */
const ERRORS_MAX = 50;

/**
 * @param pointerPrefix put before each pointer, for values that sit inside a body
 * @throws AppError unknown-field when that is the only kind of fault, else validation
 */
export function validate<Schema extends z.ZodType>(schema: Schema, value: unknown, pointerPrefix = ''): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw issuesError(parsed.error.issues, pointerPrefix);
}

/** The 422 for what a schema found. */
export function issuesError(issues: readonly z.core.$ZodIssue[], pointerPrefix = ''): AppError {
  return validationError(issues.flatMap((issue) => fieldErrors(issue, pointerPrefix)));
}

/** A 422 for several faults at once. */
export function validationError(errors: readonly FieldError[]): AppError {
  const code = errors.length > 0 && errors.every((error) => error.code === 'unknown-field') ? 'unknown-field' : 'validation';
  const [first] = errors;
  const detail = first === undefined ? undefined : `${first.pointer === '' ? 'The body' : first.pointer}: ${first.message}`;
  return new AppError(code, { ...(detail === undefined ? {} : { detail }), errors: errors.slice(0, ERRORS_MAX) });
}

function fieldErrors(issue: z.core.$ZodIssue, prefix: string): FieldError[] {
  const pointer = prefix + jsonPointer(issue.path);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys
      .slice(0, ERRORS_MAX)
      .map((key) => ({ pointer: `${pointer}${jsonPointer([key])}`, code: 'unknown-field', message: 'This field is not known here.' }));
  }
  if (issue.code === 'invalid_key')
    return [{ pointer, code: 'validation', message: `The key ${issue.issues[0]?.message ?? 'is not valid'}` }];
  return [{ pointer, code: 'validation', message: issue.message }];
}
