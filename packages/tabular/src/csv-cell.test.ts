import { describe, expect, it } from '@jest/globals';
import { defuseFormula, formatCsvCell } from './csv-cell.ts';

describe('defuseFormula', () => {
  it.each(['=1+1', '+SUM(A1)', '-cmd', '@x', '\t=1', '\r=1', '-1,5', '+1 2', '--1', '-'])('puts an apostrophe before %j', (text) => {
    expect(defuseFormula(text)).toBe(`'${text}`);
  });

  it.each(['-1', '+1', '-1.5', '-.5', '-1e-9', '1=1', 'a@b', '', ' =1'])('leaves %j alone', (text) => {
    expect(defuseFormula(text)).toBe(text);
  });
});

describe('formatCsvCell', () => {
  it.each([
    [null, ''],
    ['', '""'],
    ['a', 'a'],
    ['a,b', '"a,b"'],
    ['say "hi"', '"say ""hi"""'],
    ['two\nlines', '"two\nlines"'],
    ['=a,"b"', `"'=a,""b"""`],
  ])('writes %j as %s', (value, cell) => {
    expect(formatCsvCell(value)).toBe(cell);
  });
});
