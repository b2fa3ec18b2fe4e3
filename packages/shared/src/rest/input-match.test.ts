import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseInputMatch } from './input-match.ts';

const alternatives = (text: string) => {
  const match = parseInputMatch(text);
  return match.ok ? match.alternatives : match.problem;
};

describe('a search in inputs', () => {
  it.each([
    ['customer.id:42', ['{"customer":{"id":42}}', '{"customer":{"id":"42"}}']],
    ['customer.id:"42"', ['{"customer":{"id":"42"}}']],
    ['id:12345678901234567890', ['{"id":12345678901234567890}', '{"id":"12345678901234567890"}']],
    ['ok:true', ['{"ok":true}', '{"ok":"true"}']],
    ['gone:null', ['{"gone":null}', '{"gone":"null"}']],
    ['mail:a@b.c', ['{"mail":"a@b.c"}']],
    ['at:2026-01-01T10:00', ['{"at":"2026-01-01T10:00"}']],
    ['empty:', ['{"empty":""}']],
    ['items[].sku:x', ['{"items":[{"sku":"x"}]}']],
    ['tags[]:red', ['{"tags":["red"]}']],
    ['[].id:7', ['[{"id":7}]', '[{"id":"7"}]']],
    ['grid[][]:1', ['{"grid":[[1]]}', '{"grid":[["1"]]}']],
    ['a\\.b.c\\:d\\\\:x', ['{"a.b":{"c:d\\\\":"x"}}']],
    ['n:1e999999', ['{"n":"1e999999"}']],
    ['n:007', ['{"n":"007"}']],
    ['say:"', ['{"say":"\\""}']],
  ])('reads %s', (text, expected) => {
    expect(alternatives(text)).toEqual(expected);
  });

  it.each([
    ['without a value', 'customer.id', 'must be path:value'],
    ['without a path', ':42', 'a segment of the path is empty'],
    ['with a hole in the path', 'a..b:1', 'a segment of the path is empty'],
    ['with a path too deep', `${'a.'.repeat(20)}b:1`, 'a path has at most 16 segments'],
    ['too long', `a:${'x'.repeat(600)}`, 'must have at most 500 characters'],
  ])('refuses one %s', (_, text, problem) => {
    expect(alternatives(text)).toBe(problem);
  });

  it('is JSON whatever is written', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const match = parseInputMatch(text);
        if (match.ok) for (const json of match.alternatives) JSON.parse(json);
      }),
    );
  });
});
