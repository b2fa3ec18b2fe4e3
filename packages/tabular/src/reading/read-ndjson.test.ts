import { describe, expect, it } from '@jest/globals';
import { loadText, textColumns } from '../../test/load-text.ts';
import type { ColumnSpec, RejectCode } from '../types.ts';

const columns: ColumnSpec[] = [
  { name: 'id', type: 'bigint', required: true },
  { name: 'name', type: 'text', aliases: ['label'] },
  { name: 'data', type: 'json' },
];

const load = (text: string | Buffer, options = {}) => loadText(text, { format: 'ndjson', columns, ...options });

describe('rows of NDJSON', () => {
  it.each<[string, string, (string | null)[]]>([
    ['a number beyond 2^53', '{"id":9007199254740993}', ['9007199254740993', null, null]],
    ['a number for a text, digit by digit', '{"id":1,"name":1.10}', ['1', '1.10', null]],
    ['a large exponent for a text', '{"id":1,"name":-1.5E+10}', ['1', '-1.5E+10', null]],
    ['true for a text', '{"id":1,"name":true}', ['1', 'true', null]],
    ['a number in a string', '{"id":"42"}', ['42', null, null]],
    ['null', '{"id":1,"name":null,"data":null}', ['1', null, null]],
    ['an empty string', '{"id":1,"name":""}', ['1', '', null]],
    ['escapes', '{"id":1,"name":"a\\tb\\n\\\\ \\"\\u00e9\\ud83d\\ude00\\/"}', ['1', 'a\tb\n\\ "é😀/', null]],
    ['objects as they stand', '{"id":1,"data":{"b": [1.0, "x\\ty"],"a":1,"a":2}}', ['1', null, '{"b": [1.0, "x\\ty"],"a":1,"a":2}']],
    ['a string for json', '{"id":1,"data":"x\\"y"}', ['1', null, '"x\\"y"']],
    ['keys in any order and case, by alias, with escapes', '{"LABEL":"x","\\u0069d":1}', ['1', 'x', null]],
    ['the last of duplicate keys', '{"id":1,"name":"a","name":"b"}', ['1', 'b', null]],
    ['U+2028 in a string', '{"id":1,"name":"a\u2028b"}', ['1', 'a\u2028b', null]],
    ['space around everything', ' { "id" : 1 , "name" : "a" } ', ['1', 'a', null]],
    ['thirty-two levels', `{"id":1,"data":${'['.repeat(32)}${']'.repeat(32)}}`, ['1', null, `${'['.repeat(32)}${']'.repeat(32)}`]],
  ])('take %s', (_name, line, row) => {
    const loaded = load(`{"id":0,"name":"x"}\n${line}\n`);
    expect(loaded.rejects).toEqual([]);
    expect(loaded.rows).toEqual([['0', 'x', null], row]);
  });

  it('count lines from 1, over BOM, CRLF, blank lines and no line end at the end', () => {
    const loaded = load('\ufeff{"id":1}\r\n\r\n{"id":2}\n  \n{"id":3}', { chunkBytes: 1, pushSizes: [1], headBytes: 9 });
    expect([loaded.rows.map(([id]) => id), loaded.lines]).toEqual([
      ['1', '2', '3'],
      [1, 3, 5],
    ]);
  });

  it.each<[string, string | Buffer, RejectCode, string | null]>([
    ['an array', '[{"id":1}]', 'json', null],
    ['a scalar', '42', 'json', null],
    ['half an object', '{"id":1,', 'json', null],
    ['a trailing comma', '{"id":1,}', 'json', null],
    ['a comma after the object', '{"id":1},', 'json', null],
    ['two objects', '{"id":1}{"id":2}', 'json', null],
    ['NaN', '{"id":NaN}', 'json', 'id'],
    ['single quotes', "{'id':1}", 'json', null],
    ['a key without a value', '{"id"}', 'json', null],
    ['a raw control character', '{"id":1,"name":"a\tb"}', 'json', 'name'],
    ['a raw NUL', '{"id":1,"name":"a\0b"}', 'nul', 'name'],
    ['an escaped NUL', '{"id":1,"name":"a\\u0000b"}', 'nul', 'name'],
    ['an escaped NUL inside json', '{"id":1,"data":["\\u0000"]}', 'nul', 'data'],
    ['a lone surrogate', '{"id":1,"name":"\\ud800"}', 'encoding', 'name'],
    ['Latin-1', Buffer.from('{"id":1,"name":"\xe9"}', 'latin1'), 'encoding', 'name'],
    ['ten thousand levels', `{"id":1,"data":${'['.repeat(10_000)}${']'.repeat(10_000)}}`, 'too-deep', 'data'],
    ['a missing required key', '{"name":"a"}', 'required', 'id'],
    ['null for a required key', '{"id":null}', 'required', 'id'],
    ['a number that is none of its type', '{"id":1.5}', 'type', 'id'],
    ['a boolean for a number', '{"id":true}', 'type', 'id'],
    ['an object for a text', '{"id":1,"name":{"a":1}}', 'type', 'name'],
    ['a key the dataset lacks', '{"id":1,"colour":"red"}', 'column-count', null],
    ['__proto__ as a key', '{"id":1,"__proto__":{"x":1}}', 'column-count', null],
  ])('reject %s alone', (_name, line, code, column) => {
    const bytes = Buffer.concat([Buffer.from('{"id":1,"name":"é"}\n'), Buffer.from(line), Buffer.from('\n{"id":2}\n')]);
    const loaded = load(bytes);
    expect(loaded.rejects).toEqual([expect.objectContaining({ line: 2, code, column })]);
    expect([loaded.rows.map(([id]) => id), loaded.lines]).toEqual([
      ['1', '2'],
      [1, 3],
    ]);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  it('reject every line of a pretty-printed object and of an array document', () => {
    expect(load('{\n  "id": 1\n}\n').rejects.map(({ line, code }) => [line, code])).toEqual([
      [1, 'json'],
      [2, 'json'],
      [3, 'json'],
    ]);
    expect(loadText('[\n{"id":1},\n{"id":2}\n]\n', { columns }).rejects.map(({ line }) => line)).toEqual([1, 2, 4]);
  });

  it('refuse a file whose first object has a key the dataset lacks', () => {
    expect(load('{"id":1,"colour":"red"}\n').fault).toMatchObject({ code: 'header-mismatch', line: 1 });
  });

  it('name the unknown key', () => {
    expect(load('{"id":1}\n{"id":2,"colour":1,"name":"x"}\n').rejects[0]?.message).toBe('The dataset does not have "colour".');
  });

  it('drop or keep unknown keys when told so', () => {
    const text = '{"x":[1],"id":1}\n{"id":2,"__proto__":{"y":"a\\\\b"},"x":"q"}\n{"id":3}\n';
    const narrow: ColumnSpec[] = textColumns('id');
    expect(load(text, { columns: narrow, onUnknownColumn: 'ignore' }).rows).toEqual([['1'], ['2'], ['3']]);
    expect(load(text, { columns: narrow, onUnknownColumn: 'keep' }).rows).toEqual([
      ['1', '{"x":[1]}'],
      ['2', '{"__proto__":{"y":"a\\\\b"},"x":"q"}'],
      ['3', '{}'],
    ]);
  });

  it('go by the mapping', () => {
    const loaded = load('{"no":5,"id":7}\n', { mapping: { no: 'id' }, onUnknownColumn: 'ignore' });
    expect(loaded.rows).toEqual([['5', null, null]]);
  });
});
