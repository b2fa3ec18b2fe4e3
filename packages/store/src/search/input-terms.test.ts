import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { filterOf, probesOf, termsOf } from './input-terms.ts';

const has = (filter: Buffer, term: string) =>
  probesOf(term).every((probe) => {
    const bit = probe % (filter.length * 8);
    return (((filter[bit >> 3] ?? 0) >> (bit & 7)) & 1) === 1;
  });

describe('the terms of an input', () => {
  it('are its scalars with their paths, whatever the order of keys and the place in a list', () => {
    expect(new Set(termsOf({ a: { b: 1 }, c: [true, { d: null }] }))).toEqual(new Set(termsOf({ c: [{ d: null }, true], a: { b: 1 } })));
    expect(termsOf({ a: { b: 1 } })).not.toEqual(termsOf({ a: { b: '1' } }));
    expect(termsOf({ a: 1 })).toEqual(termsOf(JSON.parse('{"a":1.0e0}')));
    expect(termsOf({ 'a.b': 1 })).not.toEqual(termsOf({ a: { b: 1 } }));
    expect(termsOf({ '[]': 1 })).not.toEqual(termsOf([1]));
  });
});

describe('a filter', () => {
  it('has all that was put into it', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue(), { maxLength: 30 }), (values) => {
        const filter = filterOf(values);
        return filter !== null && values.flatMap((value) => termsOf(value)).every((term) => has(filter, term));
      }),
    );
  });

  it('has little else', () => {
    const filter = filterOf(
      Array.from({ length: 1_000 }, (_, n) => ({ customer: { id: n, mail: `u${n}@example.com` }, items: [{ sku: `s${n}` }] })),
    );
    const wrong = Array.from({ length: 10_000 }, (_, n) => termsOf({ customer: { id: n + 1_000 } })[0] ?? '').filter(
      (term) => filter !== null && has(filter, term),
    );
    expect(wrong.length).toBeLessThan(300);
    expect(filter?.length).toBeLessThanOrEqual(8_192);
  });

  it('is none when there is too much to be told apart', () => {
    expect(filterOf([Array.from({ length: 200_000 }, (_, n) => n)])).toBeNull();
  });
});
