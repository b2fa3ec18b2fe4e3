// The limits of every JSON value sent here: depth, keys, length of strings, text that PostgreSQL cannot keep, keys that could reach a prototype.
import { fieldError, LIMITS } from '@millrace/shared';

/** What has to be looked at: texts that may hold NUL or lone surrogates, numbers that may be too large for what JSON numbers become. */
export type JsonCheck = { strings: boolean; numbers: boolean };

type Path = { parent: Path | null; segment: string | number };

/** @throws AppError too-deep, validation, forbidden-key, nul-character or invalid-unicode, with a pointer to the place */
export function checkJsonTree(value: unknown, check: JsonCheck): void {
  visit(value, { check, path: null, depth: 0 });
}

type Place = { check: JsonCheck; path: Path | null; depth: number };

function visit(value: unknown, place: Place): void {
  if (typeof value === 'string') {
    checkString(value, place, false);
    return;
  }
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw fieldError('validation', pointerOf(place.path), 'This number is too large.');
    return;
  }
  if (value === null || typeof value !== 'object') return;
  const depth = place.depth + 1;
  if (depth > LIMITS.jsonDepthMax)
    throw fieldError('too-deep', pointerOf(place.path), `Values may be nested ${LIMITS.jsonDepthMax} levels deep at most.`);
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      // Long lists of numbers are common, and hardly ever need a look.
      if (typeof item === 'object' || typeof item === 'string' || place.check.numbers)
        visit(item, { check: place.check, path: { parent: place.path, segment: index }, depth });
    }
    return;
  }
  visitObject(value as Record<string, unknown>, { ...place, depth });
}

function visitObject(value: Record<string, unknown>, place: Place): void {
  const keys = Object.keys(value);
  if (keys.length > LIMITS.jsonKeysMax)
    throw fieldError('too-deep', pointerOf(place.path), `An object may have ${LIMITS.jsonKeysMax} keys at most.`);
  for (const key of keys) {
    const path = { parent: place.path, segment: key };
    if (key === '__proto__' || (key === 'prototype' && place.path?.segment === 'constructor'))
      throw fieldError('forbidden-key', pointerOf(path), 'This key is not allowed.');
    const inner = { check: place.check, path, depth: place.depth };
    checkString(key, inner, true);
    visit(value[key], inner);
  }
}

function checkString(text: string, place: Place, isKey: boolean): void {
  // UTF-8 needs at most 3 bytes per UTF-16 unit, so most texts need no counting.
  if (text.length > LIMITS.stringBytesMax / 3 && Buffer.byteLength(text) > LIMITS.stringBytesMax) {
    throw fieldError(
      'validation',
      isKey ? pointerOf(place.path?.parent ?? null) : pointerOf(place.path),
      `A text may have ${LIMITS.stringBytesMax} bytes at most.`,
    );
  }
  if (!place.check.strings) return;
  // A pointer to an unfit key could itself not be shown, so it points to the object.
  const pointer = () => pointerOf(isKey ? (place.path?.parent ?? null) : place.path);
  if (text.includes('\0')) throw fieldError('nul-character', pointer(), 'Text must not contain the NUL character.');
  if (!text.isWellFormed()) throw fieldError('invalid-unicode', pointer(), 'Text must not contain half of a surrogate pair.');
}

function pointerOf(path: Path | null): string {
  const segments: (string | number)[] = [];
  for (let at = path; at !== null; at = at.parent) segments.push(at.segment);
  return jsonPointer(segments.toReversed());
}

/** RFC 6901. */
export function jsonPointer(segments: readonly PropertyKey[]): string {
  return segments.map((segment) => `/${String(segment).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
