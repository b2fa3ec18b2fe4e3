import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { cleanAddress } from './clean-address.ts';
import { cleanDate, type DateOrder } from './clean-date.ts';
import { cleanFlag } from './clean-flag.ts';
import { cleanApplicationName, cleanPackageName } from './clean-name.ts';
import { cleanText, isPlaceholder } from './clean-text.ts';
import { cleanVersion } from './clean-version.ts';

describe('cleanVersion', () => {
  it.each([
    ['v1.2', '1.2.0', 'exact'],
    ['=1.0', '1.0.0', 'exact'],
    ['Version 3', '3.0.0', 'exact'],
    ['V2.0.1', '2.0.1', 'exact'],
    ['1.02.003', '1.2.3', 'exact'],
    ['1.2.3-beta.1+build.5', '1.2.3-beta.1+build.5', 'exact'],
    ['18.4.0-beta.17', '18.4.0-beta.17', 'exact'],
    ['1.2.3.4', '1.2.3.4', 'exact'],
    ['^1.2.3', '^1.2.3', 'range'],
    ['>=1 <2', '>=1 <2', 'range'],
    ['1.x', '1.x', 'range'],
    ['1.0.0 - 2.0.0', '1.0.0 - 2.0.0', 'range'],
    ['*', '*', 'range'],
    ['latest', 'latest', 'range'],
    ['R2 SP1', 'R2 SP1', 'other'],
    ['', null, 'missing'],
  ])('reads the package version %j as %j (%s)', (text, value, kind) => {
    expect(cleanVersion(text, true)).toEqual({ value, kind });
  });

  it.each([
    ['v9.0', '9.0'],
    ['2019', '2019'],
    ['10.0.19045.3803', '10.0.19045.3803'],
  ])('keeps the parts of the application version %j', (text, value) => {
    expect(cleanVersion(text, false)).toEqual({ value, kind: 'exact' });
  });

  it('changes nothing the second time', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^v?\d{1,3}(\.\d{1,3}){0,3}$/)), fc.boolean(), (text, padded) => {
        const once = cleanVersion(text, padded);
        expect(cleanVersion(once.value ?? '', padded)).toEqual(once);
      }),
    );
  });
});

describe('cleanDate', () => {
  it.each<[string, DateOrder, string | null, string]>([
    ['2024-12-31', 'unknown', '2024-12-31', 'iso'],
    ['2024-12-31T23:00:00.000Z', 'unknown', '2024-12-31', 'iso'],
    ['2024-12-31 08:15', 'unknown', '2024-12-31', 'iso'],
    ['12/31/2024', 'unknown', '2024-12-31', 'reordered'],
    ['31/12/2024', 'unknown', '2024-12-31', 'reordered'],
    ['31.12.2024', 'unknown', '2024-12-31', 'reordered'],
    ['1.2.2024', 'mdy', '2024-02-01', 'reordered'],
    ['2024/7/4', 'unknown', '2024-07-04', 'reordered'],
    ['20240704', 'unknown', '2024-07-04', 'reordered'],
    ['03/04/2024', 'dmy', '2024-04-03', 'reordered'],
    ['03/04/2024', 'mdy', '2024-03-04', 'reordered'],
    ['03/04/2024', 'unknown', null, 'ambiguous'],
    ['04/04/2024', 'unknown', '2024-04-04', 'reordered'],
    ['4 July 2024', 'unknown', '2024-07-04', 'named-month'],
    ['Jul 4, 2024', 'unknown', '2024-07-04', 'named-month'],
    ['3. März 2024', 'unknown', '2024-03-03', 'named-month'],
    ['24. Dez. 2024', 'unknown', '2024-12-24', 'named-month'],
    ['1735603200', 'unknown', '2024-12-31', 'epoch'],
    ['1735603200000', 'unknown', '2024-12-31', 'epoch'],
    ['31.02.2024', 'unknown', null, 'unreadable'],
    ['2024-13-01', 'unknown', null, 'unreadable'],
    ['soon', 'unknown', null, 'unreadable'],
    ['99999999999999999', 'unknown', null, 'unreadable'],
  ])('reads %j (%s) as %j (%s)', (text, order, value, kind) => {
    expect(cleanDate(text, order)).toEqual({ value, kind });
  });

  it('reads every day back in each unambiguous spelling', () => {
    fc.assert(
      fc.property(fc.date({ min: new Date('1990-01-01'), max: new Date('2099-12-31'), noInvalidDate: true }), (date) => {
        const iso = date.toISOString().slice(0, 10);
        const [year = '', month = '', day = ''] = iso.split('-');
        expect(cleanDate(`${day}.${month}.${year}`, 'unknown').value).toBe(iso);
        expect(cleanDate(`${month}/${day}/${year}`, 'mdy').value).toBe(Number(day) > 12 || Number(month) <= 12 ? iso : null);
        expect(cleanDate(`${year}${month}${day}`, 'unknown').value).toBe(iso);
      }),
    );
  });
});

describe('names', () => {
  it.each([
    ['Express', null, 'express', null],
    ['@Babel/Core', null, '@babel/core', null],
    ['%40types%2Fnode', null, '@types/node', null],
    ['lodash@4.17.21', null, 'lodash', '4.17.21'],
    ['@scope/pkg@v2.0.0', null, '@scope/pkg', '2.0.0'],
    ['npm:left-pad', null, 'left-pad', null],
    ['JSONStream', 'node_modules/JSONStream', 'JSONStream', null],
    ['Express', 'node_modules/express', 'express', null],
  ])('the package %j at %j is %j', (text, path, value, version) => {
    expect(cleanPackageName(text, path)).toEqual({ value, version });
  });

  it.each([
    ['Windows®  Server™', 'Windows Server'],
    ['"Adobe Reader"', 'Adobe Reader'],
    ['SAP GUI', 'SAP GUI'],
  ])('the application %j is %j', (text, value) => {
    expect(cleanApplicationName(text).value).toBe(value);
  });
});

describe('texts, flags and addresses', () => {
  it('removes surplus and invisible spaces', () => {
    expect(cleanText('\ufeff a\u00a0 b\u200b\t')).toBe('a b');
  });

  it.each(['n/a', '-', 'NULL', '?', 'unknown', 'k.A.', '#N/A'])('takes %j for nothing', (text) => {
    expect(isPlaceholder(text)).toBe(true);
  });

  it.each([
    ['Yes', true],
    ['x', true],
    ['Ja', true],
    ['0', false],
    ['nein', false],
    ['perhaps', null],
  ])('reads the flag %j as %j', (text, expected) => {
    expect(cleanFlag(text)).toBe(expected);
  });

  it.each([
    ['git+https://github.com/a/b.git', 'https://github.com/a/b'],
    ['git://github.com/a/b.git', 'https://github.com/a/b'],
    ['git@github.com:a/b.git', 'https://github.com/a/b'],
    ['git+ssh://git@gitlab.com/a/b.git', 'https://gitlab.com/a/b'],
    ['github:a/b', 'https://github.com/a/b'],
    ['a/b', 'https://github.com/a/b'],
    ['https://example.org/x', 'https://example.org/x'],
  ])('makes the address %j %j', (text, expected) => {
    expect(cleanAddress(text)).toBe(expected);
  });
});
