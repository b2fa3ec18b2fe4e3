// The query string: strict percent-encoding, no parameter twice unless the route says so, no unknown ones.
import { AppError, fieldError } from '@millrace/shared';
import type { z } from 'zod';
import { validate } from './validate.ts';

type QueryRules = { query?: z.ZodObject; repeatable?: readonly string[] };

/**
 * Errors name the parameter instead of a JSON pointer.
 * @throws AppError invalid-encoding (400); unknown-field, validation or nul-character (422)
 */
export function parseQuery(url: string, rules: QueryRules): unknown {
  const mark = url.indexOf('?');
  const given = mark === -1 ? {} : readPairs(url.slice(mark + 1), rules);
  if (rules.query === undefined) return {};
  return named(() => validate(rules.query as z.ZodObject, given));
}

function readPairs(text: string, rules: QueryRules): Record<string, string | string[]> {
  const known = new Set(Object.keys(rules.query?.shape ?? {}));
  const pairs = text
    .split('&')
    .filter((part) => part !== '')
    .map((part) => decodePair(part));
  const given: Record<string, string | string[]> = {};
  for (const { name, value } of pairs) {
    if (!known.has(name)) throw fieldError('unknown-field', printable(name), 'This query parameter is not known here.');
    if (value.includes('\0')) throw fieldError('nul-character', name, 'Text must not contain the NUL character.');
    const before = given[name];
    if (rules.repeatable?.includes(name) === true) given[name] = Array.isArray(before) ? [...before, value] : [value];
    else if (before === undefined) given[name] = value;
    else throw fieldError('validation', name, 'This query parameter may be given only once.');
  }
  return given;
}

function decodePair(part: string): { name: string; value: string } {
  const equals = part.indexOf('=');
  const name = equals === -1 ? part : part.slice(0, equals);
  const value = equals === -1 ? '' : part.slice(equals + 1);
  return { name: decode(name), value: decode(value) };
}

function decode(text: string): string {
  if (!text.includes('%') && !text.includes('+')) return text;
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch (error) {
    throw new AppError('invalid-encoding', { detail: 'The query string is not valid percent-encoded UTF-8.' }, { cause: error });
  }
}

function printable(name: string): string {
  return name.slice(0, 64).replaceAll(/[^A-Za-z0-9_.-]/g, '?');
}

// Pointers of a query begin with the slash of a JSON pointer; parameters are named without it.
function named<Result>(run: () => Result): Result {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof AppError) || error.details.errors === undefined) throw error;
    const errors = error.details.errors.map((fault) => ({ ...fault, pointer: fault.pointer.replace(/^\//, '') }));
    throw new AppError(error.code, {
      ...error.details,
      errors,
      ...(error.details.detail === undefined ? {} : { detail: error.details.detail.replace(/^\//, '') }),
    });
  }
}
