import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CANONICAL_FIELDS, FIELD_ALIASES } from './canonical-fields.ts';
import { mapFields } from './map-fields.ts';
import { headerWords, jaroWinkler } from './text-similarity.ts';
import type { ColumnSample } from './value-evidence.ts';

function samples(table: Readonly<Record<string, readonly string[]>>): ColumnSample[] {
  return Object.entries(table).map(([column, values]) => ({ column, filled: values.length, values }));
}

function pairs(table: Readonly<Record<string, readonly string[]>>): Record<string, string> {
  return Object.fromEntries(mapFields(samples(table)).fields.map(({ column, field }) => [column, field]));
}

describe('mapFields', () => {
  it('maps the export of a package manager', () => {
    const mapped = pairs({
      'Package Name': ['express', '@types/node'],
      'Ver.': ['5.3.0', '24.19.2'],
      Licence: ['MIT', '(MIT OR Apache-2.0)'],
      'Install Path': ['node_modules/express', 'node_modules/@types/node'],
      'Depends On': ['accepts@^2.0.0; body-parser@^2.2.1', 'undici-types@~7.16.0'],
      'Dev Only': ['no', 'yes'],
      'Required Node': ['>= 18', '^20.0.0 || >=22'],
      Deprecated: [],
    });
    expect(mapped).toEqual({
      'Package Name': 'name',
      'Ver.': 'version',
      Licence: 'license',
      'Install Path': 'path',
      'Depends On': 'dependencies',
      'Dev Only': 'dev',
      'Required Node': 'runtime',
      Deprecated: 'deprecated',
    });
  });

  it('maps a configuration database of applications', () => {
    const mapped = pairs({
      'Application Name': ['Apache Tomcat', 'PostgreSQL Server'],
      Vendor: ['Apache Software Foundation', 'PostgreSQL Global Development Group'],
      'Ver.': ['9.0.65', '14.2'],
      Licence: ['Apache 2.0', 'PostgreSQL License'],
      'EOL Date': ['12/31/2027', '11/12/2026'],
      'Depends On': ['Java SE', 'glibc'],
      'Cost Centre': ['4711', '4712'],
    });
    expect(mapped).toEqual({
      'Application Name': 'name',
      Vendor: 'vendor',
      'Ver.': 'version',
      Licence: 'license',
      'EOL Date': 'endOfLifeAt',
      'Depends On': 'dependencies',
    });
  });

  it('maps a German inventory, misspelt and with shouted headers', () => {
    const mapped = pairs({
      ANWENDUNGSNAME: ['SAP GUI', 'Notepad++'],
      'Versions-Nr.': ['7.70', '8.4.2'],
      Hersteler: ['SAP SE', 'Don Ho'],
      'Lizenz Typ': ['kommerziell', 'GPL-3.0'],
      'Veröffentlichungs-Datum': ['31.01.2021', '15.06.2022'],
      Ansprechpartner: ['Meier', 'Schulze'],
    });
    expect(mapped).toEqual({
      ANWENDUNGSNAME: 'name',
      'Versions-Nr.': 'version',
      Hersteler: 'vendor',
      'Lizenz Typ': 'license',
      'Veröffentlichungs-Datum': 'releasedAt',
      Ansprechpartner: 'owner',
    });
  });

  it('says why and how surely, and lists what it could not use', () => {
    const result = mapFields(samples({ name: ['a-package', 'b'], Versionn: ['1.0.0', '2.0.0'], zzz: ['?', '!'] }));
    expect(result.fields).toEqual([
      {
        field: 'name',
        column: 'name',
        confidence: 1,
        evidence: ['"name" is a known header for name', '100 % of 2 values look like names'],
      },
      {
        field: 'version',
        column: 'Versionn',
        confidence: 0.91,
        evidence: ['"Versionn" is spelled like "version no" (0.98)', '100 % of 2 values look like version numbers'],
      },
    ]);
    expect(result.unmapped).toEqual(['zzz']);
    expect(result.missing).toContain('license');
  });

  it('believes the values where two headers claim one field', () => {
    const mapped = pairs({ name: ['left-pad', 'right-pad'], version: ['MIT', 'ISC'], release: ['1.2.3', '2.0.0'] });
    expect(mapped).toEqual({ name: 'name', version: 'license', release: 'version' });
  });

  it('recognises licences and addresses under headers that say nothing, with little confidence', () => {
    const result = mapFields(
      samples({ name: ['a'], col1: ['MIT', 'ISC', 'Apache-2.0'], col2: ['https://example.org/a', 'https://example.org/b'] }),
    );
    expect(result.fields.map(({ column, field, confidence }) => [column, field, confidence])).toEqual([
      ['name', 'name', 1],
      ['col1', 'license', 0.6],
      ['col2', 'homepage', 0.6],
    ]);
  });

  it('never gives a column two fields or a field two columns', () => {
    const header = fc.oneof(fc.constantFrom(...Object.values(FIELD_ALIASES).flat()), fc.string({ maxLength: 20 }));
    const value = fc.oneof(fc.constantFrom('MIT', '1.0.0', 'yes', '2024-01-01', 'https://a.b', 'x@^1'), fc.string({ maxLength: 12 }));
    fc.assert(
      fc.property(fc.dictionary(header, fc.array(value, { maxLength: 5 }), { maxKeys: 12 }), (table) => {
        const { fields, unmapped } = mapFields(samples(table));
        expect(new Set(fields.map(({ field }) => field)).size).toBe(fields.length);
        expect([...fields.map(({ column }) => column), ...unmapped].toSorted()).toEqual(Object.keys(table).toSorted());
        for (const { confidence } of fields) expect(confidence >= 0.5 && confidence <= 1).toBe(true);
      }),
    );
  });
});

describe('FIELD_ALIASES', () => {
  it('has no alias under two fields', () => {
    const keys = CANONICAL_FIELDS.flatMap((field) => [...new Set(FIELD_ALIASES[field].map((alias) => headerWords(alias).join('')))]);
    expect(keys.filter((key, index) => keys.indexOf(key) !== index)).toEqual([]);
  });
});

describe('text similarity', () => {
  // The three textbook pairs of Winkler's paper.
  it.each([
    ['martha', 'marhta', 0.9611],
    ['dwayne', 'duane', 0.84],
    ['dixon', 'dicksonx', 0.8133],
    ['', 'a', 0],
    ['same', 'same', 1],
  ])('jaroWinkler(%j, %j) is %d', (left, right, expected) => {
    expect(jaroWinkler(left, right)).toBeCloseTo(expected, 4);
  });

  it('stays between 0 and 1, and is 1 for equal texts', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (left, right) => {
        const forth = jaroWinkler(left, right);
        expect(forth >= 0 && forth <= 1).toBe(true);
        expect(jaroWinkler(left, left)).toBe(1);
      }),
    );
  });

  it('takes headers apart at capitals, spaces and punctuation, and spells umlauts plainly', () => {
    expect(headerWords('endOfLife-Date (ISO)')).toEqual(['end', 'of', 'life', 'date', 'iso']);
    expect(headerWords('Abhängigkeiten_Größe')).toEqual(['abhaengigkeiten', 'groesse']);
    expect(headerWords('Dépendances')).toEqual(['dependances']);
  });
});
