import { describe, expect, it } from '@jest/globals';
import type { ColumnSpec, ColumnType, RejectCode } from '../types.ts';
import { assertPattern, compareDecimals } from './bounds.ts';
import { createColumnCheck } from './column-check.ts';
import { rejectCodeOf, verdict } from './verdict.ts';

/** 'ok' or the reject code of a text under a column; stray bytes around it show a check that reads too far. */
function judge(text: string, column: Omit<ColumnSpec, 'name'>): string {
  const check = createColumnCheck({ name: 'c', ...column });
  const bytes = Buffer.from(`9${text}9`);
  const judged = check === null ? verdict.ok : check(bytes, 1, bytes.length - 1);
  return judged > 0 ? rejectCodeOf(judged) : 'ok';
}

const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

const accepted: Partial<Record<ColumnType, string[]>> = {
  integer: ['0', '-0', '+5', '007', '2147483647', '-2147483648', '00000000002147483647'],
  bigint: ['9223372036854775807', '-9223372036854775808', '9007199254740993', '000009223372036854775807'],
  numeric: ['0', '1.50', '-.5', '5.', '123456789012345678901234567890.123456789', `${'9'.repeat(131_072)}`, `0.${'1'.repeat(16_383)}`],
  double: ['1e3', '-1.5E-10', '1e308', '.5', '4.9e-324', '0e-999', '0.0', '9'.repeat(305)],
  boolean: ['true', 'FALSE', 't', 'F', 'yes', 'No', 'ON', 'off', '1', '0'],
  date: ['2024-02-29', '2000-02-29', '0001-01-01', '9999-12-31', '2023-11-30'],
  timestamptz: [
    '2024-02-29T12:30:00Z',
    '2024-02-29 12:30:00',
    '2024-02-29t12:30z',
    '2024-02-29T23:59:59.123456789+05:30',
    '2024-02-29',
    '2024-02-29T12:30:00-0800',
    '2024-02-29T12:30:00+02',
    '2024-03-31T02:30:00',
    '2024-02-29T12:30:00.5',
  ],
  uuid: ['123e4567-e89b-12d3-a456-426614174000', '00000000-0000-0000-0000-000000000000', 'ABCDEF01-2345-6789-abcd-EF0123456789'],
  inet: [
    '10.0.0.1',
    '255.255.255.255/32',
    '0.0.0.0/0',
    '::',
    '::1',
    '2001:db8::1/64',
    '1:2:3:4:5:6:7:8',
    '::ffff:10.0.0.1',
    'fe80::1/128',
    '1:2:3:4:5:6:7::',
  ],
  json: [
    '{}',
    '[]',
    'null',
    '"x"',
    ' {"a":[1,2.5e3,true,null]} ',
    '{"__proto__":{"x":1}}',
    '{"a":1,"a":2}',
    '123456789012345678901234567890',
    deep(32),
    '"\\ud83d\\ude00"',
    '-0.0',
  ],
};

const refused: Partial<Record<ColumnType, string[]>> = {
  integer: [
    '2147483648',
    '-2147483649',
    '1.0',
    '1e3',
    '0x1F',
    '1,234',
    '1_000',
    ' 5',
    '5 ',
    '',
    '+',
    '-',
    '١',
    'abc',
    '--1',
    '99999999999999999999',
  ],
  bigint: ['9223372036854775808', '-9223372036854775809', '1.5', '92233720368547758070'],
  numeric: ['NaN', 'Infinity', '1e5', '1,5', '.', '-', '1.2.3', '0x10', ' 1', `${'9'.repeat(131_073)}`, `0.${'1'.repeat(16_384)}`],
  double: ['1e309', '-1e309', '1e-400', 'NaN', 'Infinity', '-inf', '1e', '1e+', 'e5', '1.5f', '1 ', '9'.repeat(310)],
  boolean: ['y', 'n', '2', 'tru', 'truee', 'wahr', '\u0011', ' 1', '01'],
  date: [
    '2024-02-30',
    '2023-02-29',
    '1900-02-29',
    '2024-13-01',
    '2024-00-10',
    '2024-01-00',
    '24-01-01',
    '0000-01-01',
    '294277-01-01',
    '2024-1-1',
    '20240101',
    '2024/01/01',
    'infinity',
    'now',
    'today',
    '2024-01-01T00:00:00',
    '-2024-01-01',
    '2024-W01-1',
  ],
  timestamptz: [
    '2024-02-30T00:00:00Z',
    '2024-01-01T24:00:00Z',
    '2024-01-01T23:60:00Z',
    '2024-01-01T23:59:60Z',
    'infinity',
    'now',
    '2024-01-01T',
    '2024-01-01T10',
    '2024-01-01T10:00:00+24:00',
    '2024-01-01T10:00:00+05:60',
    '2024-01-01T10:00:00 Z',
    '2024-01-01T10:00:00.Z',
    '2024-01-01T10:00:00.1234567890Z',
    '2024-01-01T10:00:00Europe/Berlin',
    '2024-01-01T10:00:00+5',
    '1704067200',
    '294277-01-01T00:00:00Z',
    '2024-01-01T10:00:00ZZ',
    '2024-01-01X10:00:00Z',
  ],
  uuid: [
    '123e4567e89b12d3a456426614174000',
    '{123e4567-e89b-12d3-a456-426614174000}',
    '123e4567-e89b-12d3-a456-42661417400g',
    '123e4567-e89b-12d3-a456-42661417400',
  ],
  inet: [
    '10.0.0',
    '10.0.0.256',
    '010.0.0.1',
    '10.0.0.1/33',
    '10.0.0.1/',
    '10/8',
    '::1/129',
    ':::',
    '1:2:3:4:5:6:7',
    '1::2::3',
    'fe80::1%eth0',
    '::ffff:1.2.3',
    'g::',
    '',
    ':',
    '1:2:3:4:5:6:7:8::',
    '10.0.0.1/8/8',
  ],
};

describe('types', () => {
  const cases = (table: Partial<Record<ColumnType, string[]>>) =>
    (Object.keys(table) as ColumnType[]).flatMap((type) => (table[type] ?? []).map((text) => ({ type, text, shown: text.slice(0, 50) })));

  it.each(cases(accepted))('accepts $shown as $type', ({ type, text }) => {
    expect(judge(text, { type })).toBe('ok');
  });

  it.each(cases(refused))('refuses $shown as $type', ({ type, text }) => {
    expect(judge(text, { type })).toBe('type');
  });

  it.each<[string, RejectCode]>([
    ['{', 'json'],
    ['{"a":1,}', 'json'],
    ['[1,]', 'json'],
    ['NaN', 'json'],
    ['01', 'json'],
    ['1.', 'json'],
    ['.5', 'json'],
    ['+1', 'json'],
    ['-', 'json'],
    ["{'a':1}", 'json'],
    ['{} {}', 'json'],
    ['"a\nb"', 'json'],
    ['"\\x"', 'json'],
    ['"\\u12"', 'json'],
    ['tru', 'json'],
    ['1e99999', 'json'],
    ['', 'json'],
    ['"\\u0000"', 'nul'],
    ['{"a\\u0000":1}', 'nul'],
    ['"\\ud800"', 'encoding'],
    ['"\\udc00\\ud800"', 'encoding'],
    [deep(33), 'too-deep'],
    ['['.repeat(10_000), 'too-deep'],
  ])('refuses the JSON %.40j as %s', (text, code) => {
    expect(judge(text, { type: 'json' })).toBe(code);
  });
});

describe('demands beyond the type', () => {
  it.each<[string, Omit<ColumnSpec, 'name'>, string]>([
    ['10', { type: 'integer', min: 10, max: 20 }, 'ok'],
    ['9', { type: 'integer', min: 10 }, 'range'],
    ['21', { type: 'integer', max: 20 }, 'range'],
    ['abc', { type: 'integer', max: 20 }, 'type'],
    ['9223372036854775807', { type: 'bigint', max: '9223372036854775806' }, 'range'],
    ['9223372036854775806', { type: 'bigint', max: '9223372036854775806' }, 'ok'],
    ['-0.00000000000000000001', { type: 'numeric', min: 0 }, 'range'],
    ['-0.0000000000000000000', { type: 'numeric', min: 0 }, 'ok'],
    ['0.3000', { type: 'numeric', max: 0.3 }, 'ok'],
    ['1e21', { type: 'double', max: 1e21 }, 'ok'],
    ['1.1e21', { type: 'double', max: 1e21 }, 'range'],
    ['2024-01-01', { type: 'date', min: '2024-01-01', max: '2024-12-31' }, 'ok'],
    ['2023-12-31', { type: 'date', min: '2024-01-01' }, 'range'],
    ['2024-01-01T00:30:00+01:00', { type: 'timestamptz', min: '2024-01-01T00:00:00Z' }, 'range'],
    ['2024-01-01T00:00:00.000000001Z', { type: 'timestamptz', max: '2024-01-01' }, 'range'],
    ['2024-01-01T05:30:00+05:30', { type: 'timestamptz', min: '2024-01-01', max: '2024-01-01' }, 'ok'],
    ['ab', { type: 'text', maxLength: 2 }, 'ok'],
    ['abc', { type: 'text', maxLength: 2 }, 'length'],
    ['😀é', { type: 'text', maxLength: 2 }, 'ok'],
    ['😀éa', { type: 'text', maxLength: 2 }, 'length'],
    ['red', { type: 'enum', values: ['red', 'grün'] }, 'ok'],
    ['grün', { type: 'enum', values: ['red', 'grün'] }, 'ok'],
    ['Red', { type: 'enum', values: ['red', 'grün'] }, 'enum'],
    ['red ', { type: 'enum', values: ['red', 'grün'] }, 'enum'],
    ['AB-12', { type: 'text', pattern: '^[A-Z]+-\\d+$' }, 'ok'],
    ['xAB-12', { type: 'text', pattern: '^[A-Z]+-\\d+$' }, 'pattern'],
    ['größe', { type: 'text', pattern: '^\\p{L}+$' }, 'ok'],
  ])('judges %j under %j as %s', (text, column, code) => {
    expect(judge(text, column)).toBe(code);
  });

  it('matches a pattern that would explode with backtracking in linear time', () => {
    const startedAt = performance.now();
    expect(judge(`${'a'.repeat(20_000)}!`, { type: 'text', pattern: '^(a+)+$' })).toBe('pattern');
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });

  it('refuses a pattern RE2 does not know', () => {
    expect(() => assertPattern('(?=a)')).toThrow();
    expect(() => assertPattern('^a+$')).not.toThrow();
  });

  it.each([
    ['12345678901234567890', '12345678901234567891', -1],
    ['-12345678901234567890', '-12345678901234567891', 1],
    ['+0012345678901234567890.10', '12345678901234567890.1', 0],
    ['12345678901234567890.09', '12345678901234567890.1', -1],
    ['-12345678901234567890', '1', -1],
  ])('orders %s and %s exactly', (a, b, order) => {
    expect(Math.sign(compareDecimals(a, b))).toBe(order);
  });
});
