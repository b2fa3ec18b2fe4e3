import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { cleanLicense } from './clean-license.ts';
import { LICENSE_ALIASES } from './license-aliases.ts';

describe('cleanLicense', () => {
  it.each([
    ['MIT', 'MIT', null],
    ['mit', 'MIT', 'license-spelling'],
    ['MIT License', 'MIT', 'license-spelling'],
    ['The MIT License', 'MIT', 'license-spelling'],
    ['Apache 2.0', 'Apache-2.0', 'license-spelling'],
    ['Apache License, Version 2.0', 'Apache-2.0', 'license-spelling'],
    ['BSD 3-Clause', 'BSD-3-Clause', 'license-spelling'],
    ['GNU General Public License v3.0', 'GPL-3.0-only', 'license-spelling'],
    ['(MIT OR Apache-2.0)', 'MIT OR Apache-2.0', 'license-parentheses'],
    ['(MIT)', 'MIT', 'license-parentheses'],
    ['Apache-2.0 AND MIT', 'Apache-2.0 AND MIT', null],
    ['MIT AND (ISC OR Zlib)', 'MIT AND (ISC OR Zlib)', null],
    ['GPL-2.0', 'GPL-2.0-only', 'license-replaced-id'],
    ['GPL-3.0+', 'GPL-3.0-or-later', 'license-replaced-id'],
    ['GPL-2.0-only WITH Classpath-exception-2.0', 'GPL-2.0-only WITH Classpath-exception-2.0', null],
    ['MIT/X11', 'MIT', 'license-spelling'],
    ['MIT/Apache-2.0', 'MIT OR Apache-2.0', 'license-operator'],
    ['MIT or Apache 2.0', 'MIT OR Apache-2.0', 'license-operator'],
    ['MIT, BSD-3-Clause', 'MIT OR BSD-3-Clause', 'license-operator'],
    ['MIT and CC0', 'MIT AND CC0-1.0', 'license-operator'],
    ['{"type":"MIT","url":"https://example.org"}', 'MIT', 'license-json'],
    ['[{"type":"MIT"},{"type":"Apache-2.0"}]', 'MIT OR Apache-2.0', 'license-json'],
  ])('makes %j %j (%j)', (text, value, fix) => {
    expect(cleanLicense(text)).toEqual({ kind: 'spdx', value, fix });
  });

  it.each([
    ['SEE LICENSE IN LICENSE.md', 'file', 'SEE LICENSE IN LICENSE.md'],
    ['UNLICENSED', 'unlicensed', 'UNLICENSED'],
    ['Proprietary', 'unlicensed', 'UNLICENSED'],
    ['kommerziell', 'unlicensed', 'UNLICENSED'],
    ['', 'missing', null],
    ['none', 'missing', null],
    ['NOASSERTION', 'missing', null],
    ['BSD', 'unknown', 'BSD'],
    ['Custom: see website', 'unknown', 'Custom: see website'],
    ['{"broken', 'unknown', '{"broken'],
  ])('tells that %j is %s', (text, kind, value) => {
    expect(cleanLicense(text)).toMatchObject({ kind, value });
  });

  it('tells Unlicense, which grants everything, from UNLICENSED, which grants nothing', () => {
    expect(cleanLicense('Unlicense').kind).toBe('spdx');
    expect(cleanLicense('UNLICENSED').kind).toBe('unlicensed');
  });

  it('never fails, and changes nothing the second time', () => {
    const text = fc.oneof(
      fc.string({ maxLength: 400 }),
      fc.constantFrom(...Object.keys(LICENSE_ALIASES)),
      fc.string({ unit: fc.constantFrom('(', ')', 'MIT', ' OR ', ' AND ', '+', 'ISC') }),
    );
    fc.assert(
      fc.property(text, (raw) => {
        const once = cleanLicense(raw);
        if (once.kind === 'spdx') expect(cleanLicense(once.value ?? '')).toEqual({ kind: 'spdx', value: once.value, fix: null });
      }),
    );
  });

  it.each(Object.entries(LICENSE_ALIASES))('knows the alias %j as a current SPDX id', (_alias, id) => {
    expect(cleanLicense(id)).toEqual({ kind: 'spdx', value: id, fix: null });
  });
});
