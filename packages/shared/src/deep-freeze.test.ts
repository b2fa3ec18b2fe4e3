import { describe, expect, it } from '@jest/globals';
import { deepFreeze } from './deep-freeze.ts';

describe('deepFreeze', () => {
  it('freezes objects and arrays all the way down, and answers the same value', () => {
    const value = { list: [{ deep: { n: 1 } }], bare: Object.assign(Object.create(null) as object, { n: 1 }) };
    expect(deepFreeze(value)).toBe(value);
    expect([value, value.list, value.list[0], value.list[0]?.deep, value.bare].every((part) => Object.isFrozen(part))).toBe(true);
    expect(() => value.list.push({ deep: { n: 2 } })).toThrow(TypeError);
  });

  it('leaves what is no plain data as it is', () => {
    const value = { at: new Date(0), bytes: new Uint8Array(4), map: new Map([['a', {}]]) };
    deepFreeze(value);
    expect([value.at, value.bytes, value.map].some((part) => Object.isFrozen(part))).toBe(false);
    expect([deepFreeze(null), deepFreeze('text'), deepFreeze(undefined)]).toEqual([null, 'text', undefined]);
  });

  it('comes to an end with circles and with great depth', () => {
    const circle: { self?: unknown } = {};
    circle.self = circle;
    let deep: unknown = 1;
    for (let depth = 0; depth < 100_000; depth += 1) deep = [deep];
    expect(Object.isFrozen(deepFreeze(circle))).toBe(true);
    expect(Object.isFrozen(deepFreeze(deep))).toBe(true);
  });
});
