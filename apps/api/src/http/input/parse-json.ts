// Bytes to JSON value: strict UTF-8, then JSON, then the limits that PostgreSQL and we need. Schemas come after.
import { isUtf8 } from 'node:buffer';
import { AppError } from '@millrace/shared';
import { checkJsonTree, type JsonCheck } from './check-json-tree.ts';

const BYTE_ORDER_MARK = 0xfeff;
const HUGE_NUMBER_PATTERN = /\d[eE]\+?\d{2}|\d{290}/;

/**
 * A leading byte order mark is dropped; of duplicate keys the last one counts.
 * @throws AppError invalid-encoding, empty-body, malformed-json (400) or what the limits refuse (422)
 */
export function parseJson(bytes: Buffer): unknown {
  return parseJsonText(decodeUtf8(bytes));
}

/** @throws AppError invalid-encoding */
export function decodeUtf8(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new AppError('invalid-encoding', { detail: 'The body is not valid UTF-8.' });
  const text = bytes.toString('utf8');
  return text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text;
}

/** @throws AppError like parseJson */
export function parseJsonText(text: string): unknown {
  if (text.trim() === '') throw new AppError('empty-body');
  const value = parse(text);
  checkJsonTree(value, checksFor(text));
  return value;
}

/** A raw control character or lone surrogate cannot be in valid UTF-8 JSON, so only escapes bring them in; a number beyond 1.8e308 needs a long exponent or many digits. */
export function checksFor(text: string): JsonCheck {
  return { strings: text.includes('\\u'), numbers: HUGE_NUMBER_PATTERN.test(text) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // The parser's own message quotes the input, so it is not passed on.
    throw new AppError('malformed-json', {}, { cause: error });
  }
}
