import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { storableJson } from './storable-json.ts';

const BYTES_MAX = 1_000;
const problemOf = (value: unknown) => {
  const answer = storableJson(value, BYTES_MAX);
  return answer.ok ? undefined : answer.problem;
};

describe('storableJson', () => {
  it.each([
    [undefined, 'null'],
    [null, 'null'],
    [() => 1, 'null'],
    [Symbol('s'), 'null'],
    [Number.NaN, 'null'],
    [{ toJSON: () => undefined }, 'null'],
    [{ a: undefined, b: [undefined] }, '{"b":[null]}'],
    [new Date(0), '"1970-01-01T00:00:00.000Z"'],
  ])('writes what has no JSON of its own as JSON.stringify does: %p', (value, text) => {
    expect(storableJson(value, BYTES_MAX)).toEqual({ ok: true, text });
  });

  it.each([
    ['a value', 'a\0b'],
    ['a key', { 'a\0': 1 }],
    ['a nested value', { a: [{ b: '\0' }] }],
    ['a value behind a backslash', '\\\0'],
    ['a value behind two backslashes', '\\\\\0'],
  ])('refuses NUL in %s', (_, value) => {
    expect(problemOf(value)).toContain('NUL');
  });

  it.each([
    ['a high one', '\ud800'],
    ['a low one', 'x\udfffx'],
    ['two in the wrong order', '\udc00\ud800'],
    ['one in a key', { '\ud83d': 1 }],
    ['one behind a backslash', '\\\ud800'],
  ])('refuses a lone surrogate: %s', (_, value) => {
    expect(problemOf(value)).toContain('surrogate');
  });

  it.each(['\\u0000', '\\\\u0000', '\\\\\\u0000', '\\ud800', '\\\\ud83d', 'u0000', '😀', '\u0001\u001f', 'D800'])(
    'keeps text that only looks like an escape: %j',
    (text) => {
      const answer = storableJson({ [text]: text }, BYTES_MAX);
      expect(answer).toEqual({ ok: true, text: JSON.stringify({ [text]: text }) });
    },
  );

  it('accepts exactly the text without NUL and lone surrogates', () => {
    const part = fc.constantFrom('\\', '\0', '\ud83d', '\ude00', 'u0000', 'ud83d', '"', 'x', '\\u');
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const text = parts.join('');
        expect(storableJson(text, BYTES_MAX).ok).toBe(!text.includes('\0') && text.isWellFormed());
      }),
    );
  });

  it('says of a circle, a BigInt and a throwing toJSON that they are no JSON', () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    const deaf = {
      toJSON: () => {
        // oxlint-disable-next-line typescript/only-throw-error -- this is what is tested
        throw 'not an Error';
      },
    };
    expect(problemOf(circle)).toMatch(/^it is not JSON: .*circular/);
    expect(problemOf({ n: 1n })).toMatch(/^it is not JSON: .*BigInt/);
    expect(problemOf(deaf)).toBe('it is not JSON: unknown reason');
  });

  it('says of a nesting that exhausts the stack that it is no JSON', () => {
    let deep: unknown = 0;
    for (let level = 0; level < 100_000; level += 1) deep = [deep];
    expect(problemOf(deep)).toMatch(/^it is not JSON/);
  });

  it('counts bytes, not characters, and allows exactly the limit', () => {
    expect(storableJson('x'.repeat(BYTES_MAX - 2), BYTES_MAX).ok).toBe(true);
    expect(problemOf('x'.repeat(BYTES_MAX - 1))).toBe('it is larger than 1000 bytes as JSON: 1001');
    expect(problemOf('é'.repeat(BYTES_MAX / 2))).toContain('larger');
  });
});
