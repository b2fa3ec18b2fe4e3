// Makes data read-only that several readers share.

/**
 * Freezes plain objects and arrays, all the way down; a value that is none of these, such as a Date or bytes, stays as it is. Answers the same
 * value. What is frozen already is not looked into again, so freezing twice costs nothing.
 */
export function deepFreeze<T>(value: T): T {
  const left: unknown[] = [value];
  while (left.length > 0) {
    const next = left.pop();
    if (!isPlain(next) || Object.isFrozen(next)) continue;
    Object.freeze(next);
    for (const part of Array.isArray(next) ? next : Object.values(next)) if (typeof part === 'object' && part !== null) left.push(part);
  }
  return value;
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value)) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}
