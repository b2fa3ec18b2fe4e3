import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { canonicalJson } from './canonical-json.ts';

function shuffled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shuffled);
  if (value === null || typeof value !== 'object') return value;
  // defineProperty rather than assignment: a member may be called __proto__.
  const copy = {};
  for (const [key, member] of Object.entries(value).toReversed())
    Object.defineProperty(copy, key, { value: shuffled(member), enumerable: true });
  return copy;
}

describe('canonicalJson', () => {
  it.each([
    [{ b: 1, a: { d: [1, { z: 0, y: 1 }], c: null } }, '{"a":{"c":null,"d":[1,{"y":1,"z":0}]},"b":1}'],
    [[3, 1, 2], '[3,1,2]'],
    [{ b: undefined, a: 1 }, '{"a":1}'],
    [[undefined], '[null]'],
    [undefined, 'null'],
    ['"\\\u2028', JSON.stringify('"\\\u2028')],
    [-0, '0'],
    [{ é: 1, Z: 2, a: 3 }, '{"Z":2,"a":3,"é":1}'],
    [JSON.parse('{"__proto__":1,"a":2}'), '{"__proto__":1,"a":2}'],
  ])('writes %j', (value, expected) => {
    expect(canonicalJson(value)).toBe(expected);
  });

  it('is the same whatever the order of the keys', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(canonicalJson(shuffled(value))).toBe(canonicalJson(value));
      }),
    );
  });

  it('is JSON of the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('tells values apart that differ', () => {
    expect(new Set([1, '1', [1], { 1: 1 }, true, 'true', null, 'null', {}, []].map((value) => canonicalJson(value))).size).toBe(10);
  });
});
