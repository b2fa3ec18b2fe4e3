import { describe, expect, it } from '@jest/globals';
import type { ColumnSpec } from '../types.ts';
import { mapColumns } from './map-columns.ts';
import type { MapColumnsInput } from './map-columns.ts';

const columns: ColumnSpec[] = [
  { name: 'id', type: 'text', required: true },
  { name: 'full_name', type: 'text', aliases: ['Bezeichnung', 'title'] },
  { name: 'price', type: 'numeric' },
];

const map = (headerColumns: string[], rest: Partial<MapColumnsInput> = {}) =>
  mapColumns({ headerColumns, columns, onUnknownColumn: 'fail', ...rest });

describe('mapColumns', () => {
  it.each<[string, string[], Partial<MapColumnsInput>, (number | null)[]]>([
    ['by name in any order', ['price', 'id', 'full_name'], {}, [1, 2, 0]],
    ['without regard to case, spaces, _ and -', ['I-D', 'Full Name', ' PRICE '], {}, [0, 1, 2]],
    ['by alias', ['id', 'bezeichnung'], {}, [0, 1, null]],
    ['by mapping before names', ['code', 'id', 'price'], { mapping: { code: 'id' }, onUnknownColumn: 'ignore' }, [0, null, 2]],
    ['with mapping entries the file lacks', ['id'], { mapping: { other: 'price' } }, [0, null, null]],
    ['ignoring unknown columns', ['x', 'id', 'y'], { onUnknownColumn: 'ignore' }, [1, null, null]],
    ['by position without a header', ['column_1', 'column_2'], { isPositional: true }, [0, 1, null]],
    ['with a required key seen only in a later record', ['price'], { sampledColumns: ['id'] }, [null, null, 0]],
    ['when no NDJSON object was readable', [], {}, [null, null, null]],
  ])('maps %s', (_name, header, rest, sources) => {
    const result = map(header, rest);
    expect(result.ok ? result.plan.sources : result.fault).toEqual(sources);
  });

  it('keeps unknown columns by name and index', () => {
    const result = map(['a', 'id', 'b'], { onUnknownColumn: 'keep' });
    expect(result.ok && result.plan.extra).toEqual([
      { name: 'a', index: 0 },
      { name: 'b', index: 2 },
    ]);
  });

  it('makes a plan that survives JSON', () => {
    const result = map(['id', 'Full Name'], { mapping: { price: 'price' } });
    expect(result.ok && JSON.parse(JSON.stringify(result.plan))).toEqual(result.ok && result.plan);
  });

  it.each<[string, string[], Partial<MapColumnsInput>, RegExp]>([
    ['a required column without a source', ['price'], {}, /required "id"/],
    ['an unknown column', ['id', 'colour'], {}, /"colour"/],
    ['a duplicate cell', ['id', 'price', 'price'], {}, /"price" more than once/],
    ['an empty cell', ['id', '', 'price'], {}, /cell 2 is empty/],
    ['a blank cell', ['id', '  '], { onUnknownColumn: 'ignore' }, /cell 2 is empty/],
    ['two cells for one column', ['id', 'ID'], {}, /"id", "ID" both belong to column "id"/],
    ['a name and an alias of one column', ['id', 'title', 'full name'], {}, /both belong/],
    ['a mapping to a column that does not exist', ['id'], { mapping: { id: 'nope' } }, /"nope"/],
    ['a row of data in place of the header', ['1', 'Alice', '2.50'], {}, /does not have/],
    ['no column in common', ['x'], { onUnknownColumn: 'ignore', columns: [{ name: 'a', type: 'text' }] }, /No column/],
    ['too many columns without a header', ['column_1', 'column_2', 'column_3', 'column_4'], { isPositional: true }, /column_4/],
  ])('refuses %s', (_name, header, rest, message) => {
    expect(map(header, rest)).toEqual({
      ok: false,
      fault: { kind: 'fault', code: 'header-mismatch', line: 1, message: expect.stringMatching(message) },
    });
  });
});
