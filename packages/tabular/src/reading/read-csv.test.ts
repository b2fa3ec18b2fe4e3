import { describe, expect, it } from '@jest/globals';
import { loadText, textColumns } from '../../test/load-text.ts';
import type { LoadOptions } from '../../test/load-text.ts';
import type { ColumnSpec, RejectCode } from '../types.ts';
import { createRowReader } from './row-reader.ts';

type Row = (string | null)[];

describe('rows of CSV', () => {
  it.each<[string, string, Row[], number[]]>([
    ['none under a header alone', 'id,name\n', [], []],
    [
      'the last one without a line end',
      'id,name\n1,a\n2,b',
      [
        ['1', 'a'],
        ['2', 'b'],
      ],
      [2, 3],
    ],
    [
      'ended by CRLF, also the last with CR alone',
      'id,name\r\n1,a\r\n2,b\r',
      [
        ['1', 'a'],
        ['2', 'b'],
      ],
      [2, 3],
    ],
    [
      'ended by CR where the header is',
      'id,name\r1,a\r2,b\r',
      [
        ['1', 'a'],
        ['2', 'b'],
      ],
      [2, 3],
    ],
    [
      'with line ends of all kinds in quotes',
      'id,name\n1,"a\r\nb\rc\nd"\n2,e\n',
      [
        ['1', 'a\r\nb\rc\nd'],
        ['2', 'e'],
      ],
      [2, 5],
    ],
    ['with a lone CR in an unquoted cell', 'id,name\n1,a\rb\n', [['1', 'a\rb']], [2]],
    [
      'between blank lines',
      'id,name\n\n1,a\n \t \n\r\n2,b\n\n\n',
      [
        ['1', 'a'],
        ['2', 'b'],
      ],
      [3, 6],
    ],
    ['before a Ctrl-Z', 'id,name\n1,a\x1a', [['1', 'a']], [2]],
    ['after a byte order mark', '\ufeffid,name\n1,a\n', [['1', 'a']], [2]],
    [
      'with null and empty string apart',
      'id,name\n1,\n2,""\n3,NULL\n4,\\N\n',
      [
        ['1', null],
        ['2', ''],
        ['3', 'NULL'],
        ['4', '\\N'],
      ],
      [2, 3, 4, 5],
    ],
    [
      'with bytes that COPY text would misread',
      'id,name\n1,\\.\n2,a\tb\\c\n\\.,"x\ny"\n',
      [
        ['1', '\\.'],
        ['2', 'a\tb\\c'],
        ['\\.', 'x\ny'],
      ],
      [2, 3, 4],
    ],
    [
      'with doubled quotes',
      'id,name\n1,"a ""b"" c"\n2,""""\n',
      [
        ['1', 'a "b" c'],
        ['2', '"'],
      ],
      [2, 3],
    ],
    ['untrimmed', 'id,name\n 1 , a \n', [[' 1 ', ' a ']], [2]],
    ['with formulas as they are', 'id,name\n=1+1,@x\n', [['=1+1', '@x']], [2]],
    ['in Unicode of every length', 'id,name\né,日本😀\u202e\n', [['é', '日本😀\u202e']], [2]],
  ])('%s', (_name, text, rows, lines) => {
    const loaded = loadText(text, { chunkBytes: 1, pushSizes: [3], headBytes: 9 });
    expect([loaded.rows, loaded.lines, loaded.rejects]).toEqual([rows, lines, []]);
  });

  it('accept the words for null only where they are unquoted', () => {
    const loaded = loadText('id,name\n1,NULL\n2,"NULL"\n3,NUL\n', { csv: { nullValues: ['NULL', '\\N'] } });
    expect(loaded.rows).toEqual([
      ['1', null],
      ['2', 'NULL'],
      ['3', 'NUL'],
    ]);
  });

  it('are split by the dialect given', () => {
    const csv = { delimiter: ';', quote: "'", escape: '\\' };
    const loaded = loadText("id;name\n1;'a\\'b;c'\n2;'d\\\\'\n3;'e\\n'\n", { csv });
    expect(loaded.rows).toEqual([
      ['1', "a'b;c"],
      ['2', 'd\\'],
      ['3', 'e\\n'],
    ]);
  });

  it('are taken as they are without a quote character', () => {
    expect(loadText('id\tname\n1\t"a\n', { csv: { delimiter: '\t', quote: '' } }).rows).toEqual([['1', '"a']]);
  });

  it('follow the dataset order, not that of the file, and leave out columns the file lacks', () => {
    const columns: ColumnSpec[] = [...textColumns('a', 'b'), { name: 'c', type: 'integer' }];
    const loaded = loadText('c,x,a\n1,2,3\n', { columns, onUnknownColumn: 'ignore' });
    expect([loaded.copyColumns, loaded.rows]).toEqual([['a', 'c'], [['3', '1']]]);
  });

  it('keep unknown columns as JSON', () => {
    const loaded = loadText('x,id,__proto__\n"a ""q""\t\\",1,\n,2,"b\nc"\n', { columns: textColumns('id'), onUnknownColumn: 'keep' });
    expect(loaded.copyColumns).toEqual(['id', 'extra']);
    expect(loaded.rows).toEqual([
      ['1', '{"x":"a \\"q\\"\\t\\\\","__proto__":null}'],
      ['2', '{"x":null,"__proto__":"b\\nc"}'],
    ]);
  });

  it('say where their records stand in the chunk', () => {
    const text = 'id,name\n1,a\n\n2,"b\nc"\n';
    const loaded = loadText(text);
    const [chunk] = loaded.chunkRows;
    const body = Buffer.from(text).subarray(8);
    const records = chunk?.starts.map((start, row) => body.toString('utf8', start, chunk.ends[row]));
    expect([records, chunk?.rowCount, chunk?.lineCount]).toEqual([['1,a', '2,"b\nc"'], 2, 4]);
  });
});

const typed: ColumnSpec[] = [
  { name: 'id', type: 'integer', required: true },
  { name: 'at', type: 'timestamptz' },
  { name: 'note', type: 'text', maxLength: 5 },
];

describe('typed columns of CSV', () => {
  it('go over as they stand, but for timestamps without a zone', () => {
    const loaded = loadText('id,at,note\n007,2024-01-01,\n-0,2024-01-01 10:00,""\n+1,"2024-01-01T10:00:00+02",x\n2,,y\n3,"",z\n', {
      columns: typed,
    });
    expect(loaded.rows).toEqual([
      ['007', '2024-01-01 00:00:00Z', null],
      ['-0', '2024-01-01 10:00Z', ''],
      ['+1', '2024-01-01T10:00:00+02', 'x'],
      ['2', null, 'y'],
      ['3', null, 'z'],
    ]);
  });

  it.each<[string, string | Buffer, RejectCode, string | null]>([
    ['too few cells', '1,a', 'column-count', null],
    ['too many cells', '1,,a,b', 'column-count', null],
    ['a quote in an unquoted cell', '1,,a"b', 'bad-quote', 'note'],
    ['text after a closing quote', '1,,"a"b', 'bad-quote', 'note'],
    ['a space before a quote', '1,, "a"', 'bad-quote', 'note'],
    ['a quote out of place before the count', '1"', 'bad-quote', 'id'],
    ['Latin-1', Buffer.from('1,,\xe9', 'latin1'), 'encoding', 'note'],
    ['an overlong form', Buffer.from([0x31, 0x2c, 0x2c, 0xc0, 0xaf]), 'encoding', 'note'],
    ['a surrogate in UTF-8', Buffer.from([0x31, 0x2c, 0x2c, 0xed, 0xa0, 0x80]), 'encoding', 'note'],
    ['a NUL', '1,,a\0b', 'nul', 'note'],
    ['a NUL in quotes', '1,,"a\0b"', 'nul', 'note'],
    ['a wrong type', 'x,,a', 'type', 'id'],
    ['the first of two faults', 'x,nope,a', 'type', 'id'],
    ['the first in dataset order although another is of form', Buffer.from('x,,\xe9', 'latin1'), 'type', 'id'],
    ['a null where a value is required', ',,a', 'required', 'id'],
    ['an empty string where a number is required', '"",,a', 'required', 'id'],
    ['too many characters', '1,,123456', 'length', 'note'],
    ['too many characters after resolving quotes', '1,,"a""b""cd"', 'length', 'note'],
  ])('reject %s alone', (_name, row, code, column) => {
    const bytes = Buffer.concat([Buffer.from('id,at,note\n1,,"a\nb"\n'), Buffer.from(row), Buffer.from('\n2,,é\n')]);
    for (const options of [{}, { chunkBytes: 1, pushSizes: [1], headBytes: 1 }]) {
      const loaded = loadText(bytes, { columns: typed, ...options });
      expect(loaded.rows).toEqual([
        ['1', null, 'a\nb'],
        ['2', null, 'é'],
      ]);
      expect(loaded.rejects).toEqual([
        expect.objectContaining({ line: 4, column, code, raw: row.toString('utf8').replace('\0', '\ufffd') }),
      ]);
      expect(loaded.lines).toEqual([2, 5]);
    }
  });

  it('measure the length of a text after resolving its doubled quotes', () => {
    expect(loadText('id,note\n1,"""""a"""""\n', { columns: typed }).rows).toEqual([['1', '""a""']]);
  });
});

describe('rejects', () => {
  const load = (text: string, options: LoadOptions = {}) => loadText(text, { columns: typed, ...options });

  it('carry the record cut to 8 KiB on a character, and a short message', () => {
    const [reject] = load(`id,at,note\nx${'é'.repeat(10_000)},,\n`).rejects;
    expect(Buffer.byteLength(reject?.raw ?? '')).toBe(8191);
    expect(reject?.raw).not.toContain('\ufffd');
    expect(reject?.message).toMatch(/^"xé{79}…" is not a whole number of 32 bits\.$/);
  });

  it('stay within 8 KiB when replacement characters make the text grow', () => {
    const bytes = Buffer.concat([Buffer.from('id,at,note\n1,,'), Buffer.alloc(10_000, 0xff), Buffer.from('\n')]);
    const raw = loadText(bytes, { columns: typed }).rejects[0]?.raw ?? '';
    expect(Buffer.byteLength(raw)).toBeLessThanOrEqual(8192);
  });

  it('are counted by code beyond the limit of those kept', () => {
    const text = `id,at,note\n${'x,,\n1,2,\n1,2\n2,,\n'.repeat(1000)}`;
    const [chunk] = load(text, { rejectLimit: 10 }).chunkRows;
    expect(chunk?.rejects).toHaveLength(10);
    expect([chunk?.rowCount, chunk?.rejectCount, chunk?.rejectCounts]).toEqual([1000, 3000, { type: 2000, 'column-count': 1000 }]);
  });

  it('say what a range or a count is about', () => {
    const columns: ColumnSpec[] = [
      { name: 'n', type: 'integer', min: 1, max: 5 },
      { name: 'e', type: 'enum', values: ['a'] },
    ];
    const { rejects } = loadText('n,e\n9,a\n1,b\n1\n', { columns });
    expect(rejects.map(({ message }) => message)).toEqual([
      '"9" is not between 1 and 5.',
      '"b" is not one of the allowed values.',
      'The row has 1 columns, the header 2.',
    ]);
  });
});

describe('the line column', () => {
  it('holds the physical line of each row behind all other columns', () => {
    const columns = textColumns('id');
    const plan = { sources: [0], extra: [], headerColumns: ['id'], exactNames: [], foldedNames: [], onUnknownColumn: 'fail' as const };
    const dialect = { delimiter: ',', quote: '"', escape: '"', header: true, nullValues: [], lineEnd: 'lf' as const };
    const reader = createRowReader({ plan, columns, dialect, format: 'csv', lineColumn: '_line' });
    const { copyText, lines } = reader.readChunk(Buffer.from('a\n"b\n"\n\nc\n'), 4_294_967_298);
    expect(reader.copyColumns).toEqual(['id', '_line']);
    expect(Buffer.concat(copyText).toString()).toBe('a\t4294967298\nb\\n\t4294967299\nc\t4294967302\n');
    expect(lines).toEqual([4_294_967_298, 4_294_967_299, 4_294_967_302]);
  });
});

describe('parts', () => {
  it('hold whole rows, are of bounded size and add up to the chunk', () => {
    const text = `id,name\n${Array.from({ length: 3000 }, (_, row) => `${row},${'n'.repeat(row % 40)}`).join('\n')}\n`;
    const parts = loadText(text, { partBytes: 2048 }).chunkRows.flatMap(({ copyText }) => copyText);
    expect(parts.length).toBeGreaterThan(20);
    for (const part of parts) {
      expect(part.length).toBeLessThan(2048 + 100);
      expect(part.at(-1)).toBe(0x0a);
    }
    expect(loadText(text, { partBytes: 2048 }).rows).toEqual(loadText(text, { partBytes: 1 << 20 }).rows);
  });

  it('grow for one row that is larger than a part', () => {
    const long = '\\'.repeat(200_000);
    expect(loadText(`id,name\n1,${long}\n2,b\n`, { partBytes: 1000 }).rows).toEqual([
      ['1', long],
      ['2', 'b'],
    ]);
  });
});
