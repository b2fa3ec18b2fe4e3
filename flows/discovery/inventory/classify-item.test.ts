import { describe, expect, it } from '@jest/globals';
import { categoryOf } from './category-rules.ts';
import { licenseLabel, originOf, reachOf, useOf } from './classify-item.ts';

describe('useOf', () => {
  it.each([
    [true, true, 'development'],
    [true, false, 'development'],
    [false, true, 'optional'],
    [null, true, 'optional'],
    [false, false, 'runtime'],
    [null, null, 'unknown'],
  ])('takes dev %j and optional %j for %s', (dev, optional, use) => {
    expect(useOf({ dev, optional })).toBe(use);
  });
});

describe('reachOf', () => {
  const dependedOn = new Set(['below']);
  const item = (name: string, parts: { own?: boolean; direct?: boolean } = {}) => ({
    name,
    own: parts.own ?? false,
    direct: parts.direct ?? null,
  });

  it('believes the column where there is one', () => {
    expect(reachOf(item('below', { direct: true }), 'column', dependedOn)).toBe('direct');
    expect(reachOf(item('top'), 'column', dependedOn)).toBe('transitive');
    expect(reachOf(item('mine', { own: true, direct: true }), 'column', dependedOn)).toBe('own');
  });

  it('takes what nothing depends on for direct where there is none, and nothing where there are no dependencies', () => {
    expect(reachOf(item('below'), 'inferred', dependedOn)).toBe('transitive');
    expect(reachOf(item('top'), 'inferred', dependedOn)).toBe('direct');
    expect(reachOf(item('top'), 'none', new Set())).toBe('unknown');
  });
});

describe('categoryOf', () => {
  it.each([
    ['@types/jest', [], 'types'],
    ['@swc/core-linux-x64-gnu', [], 'native binary'],
    ['@typescript/typescript-win32-arm64', [], 'native binary'],
    ['core-js', [], 'polyfill'],
    ['jest-circus', [], 'test'],
    ['eslint-plugin-import', [], 'lint and format'],
    ['@babel/core', [], 'build tool'],
    ['express', [], 'framework'],
    ['@nestjs/common', [], 'framework'],
    ['pg', [], 'database'],
    ['commander', [], 'CLI'],
    ['Microsoft SQL Server 2019', [], 'database'],
    ['Windows Server 2019', [], 'operating system'],
    ['expressive', [], 'other'],
    ['pgp-tools', [], 'other'],
    ['something', ['Parser', 'yaml'], 'validation and parsing'],
    ['something', ['unheard', 'of'], 'other'],
  ])('%s with %j is %s', (name, keywords, category) => {
    expect(categoryOf(name, keywords)).toBe(category);
  });
});

it('names the origin by scope, else by vendor, and says what stands in place of a licence', () => {
  expect(originOf({ name: '@babel/core', vendor: 'The Babel Team' })).toBe('@babel');
  expect(originOf({ name: 'express', vendor: 'TJ' })).toBe('TJ');
  expect(originOf({ name: 'express', vendor: null })).toBeNull();
  expect(licenseLabel({ kind: 'missing', value: null })).toBe('(none)');
  expect(licenseLabel({ kind: 'file', value: 'SEE LICENSE IN X' })).toBe('(terms in a file)');
});
