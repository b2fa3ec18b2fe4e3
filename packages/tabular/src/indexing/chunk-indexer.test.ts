import { describe, expect, it } from '@jest/globals';
import { indexBytes } from '../../test/load-text.ts';
import type { LoadOptions } from '../../test/load-text.ts';
import type { FileFaultCode } from '../types.ts';
import { createChunkIndexer } from './chunk-indexer.ts';

function index(input: string | Buffer, options: LoadOptions = {}) {
  const result = indexBytes(Buffer.from(input), options);
  if (result.kind === 'fault') throw new Error(`${result.code}: ${result.message}`);
  return result;
}

describe('format and dialect', () => {
  it.each([
    ['a,b\n1,2\n', ',', 'lf', ['a', 'b']],
    ['a;b;c,d\r\n1;2;3\r\n', ';', 'lf', ['a', 'b', 'c,d']],
    ['a\tb\n', '\t', 'lf', ['a', 'b']],
    ['a|b\r1|2\r', '|', 'cr', ['a', 'b']],
    ['single\n1\n', ',', 'lf', ['single']],
    ['"a,1;x";"b ""q"""\n', ';', 'lf', ['a,1;x', 'b "q"']],
    ['"a\nb",c\n1,2\n', ',', 'lf', ['a\nb', 'c']],
    ['\ufeffid,n\n', ',', 'lf', ['id', 'n']],
    ['\ufeff"id",n\n', ',', 'lf', ['id', 'n']],
    ['\n \r\nid,n\n', ',', 'lf', ['id', 'n']],
    ['größe,名前\n', ',', 'lf', ['größe', '名前']],
    ['id,n', ',', 'lf', ['id', 'n']],
  ])('reads the head of %j', (text, delimiter, lineEnd, headerColumns) => {
    const found = index(text);
    expect(found).toMatchObject({
      format: 'csv',
      headerColumns,
      encoding: 'utf-8',
      dialect: { delimiter, lineEnd, quote: '"', escape: '"', header: true },
    });
  });

  it.each<[string, 'csv' | 'ndjson']>([
    ['{"a":1}\n', 'ndjson'],
    ['\ufeff  {"a":1}\n', 'ndjson'],
    ['{\n  "a": 1\n}\n', 'ndjson'],
    ['[\n{"a":1}\n]', 'ndjson'],
    ['[{"a":1}]', 'ndjson'],
    ['[id],[name]\n', 'csv'],
    ['{id},name\n', 'csv'],
    ['"{",b\n', 'csv'],
  ])('takes %j for %s', (text, format) => {
    expect(index(text).format).toBe(format);
  });

  it('names the columns of a file without a header and reads its first row as data', () => {
    const found = index('1,2\n3,4\n', { csv: { header: false } });
    expect(found).toMatchObject({ headerColumns: ['column_1', 'column_2'], chunks: [{ byteOffset: 0, byteLength: 8, firstLine: 1 }] });
  });

  it('gathers the keys of NDJSON: those of the first object, then those seen later', () => {
    const found = index('not json\n{"b":1,"a":{"x":1}}\n{"c":1,"a":2,"__proto__":3}\n', { format: 'ndjson' });
    expect(found).toMatchObject({ headerColumns: ['b', 'a'], sampledColumns: ['c', '__proto__'] });
  });

  it('waits for a header that is longer than the sniffed head', () => {
    const names = Array.from({ length: 4000 }, (_, column) => `a_rather_long_column_name_${column}`);
    const found = index(`${names.join(',')}\n1\n`, { pushSizes: [1000] });
    expect(found.headerColumns).toEqual(names);
  });
});

describe('chunks', () => {
  it('end only where records end and know their physical lines', () => {
    const text = 'id,n\n1,"a\n\nb"\n2,c\r\n3,"d ""\n"" e"\n4,f';
    const bytes = Buffer.from(text);
    const { chunks, recordCountEstimate, sizeBytes } = index(text, { chunkBytes: 1 });
    const pieces = chunks.map(({ byteOffset, byteLength, firstLine }) => [
      firstLine,
      bytes.toString('utf8', byteOffset, byteOffset + byteLength),
    ]);
    expect(pieces).toEqual([
      [2, '1,"a\n\nb"\n'],
      [5, '2,c\r\n'],
      [6, '3,"d ""\n"" e"\n'],
      [8, '4,f'],
    ]);
    expect(chunks.map(({ ordinal }) => ordinal)).toEqual([0, 1, 2, 3]);
    expect([recordCountEstimate, sizeBytes]).toEqual([4, bytes.length]);
  });

  it('count LF, CR and CRLF as one line each where the header ends in CR', () => {
    const { chunks } = index('id,n\r1,"a\rb\r\nc\nd"\r2,x\r\n3,y\n4,z\r', { chunkBytes: 1 });
    expect(chunks.map(({ firstLine }) => firstLine)).toEqual([2, 6, 7, 8]);
  });

  it('do not depend on how the file was pushed', () => {
    const text = 'id,n\r\n1,"a ""\r\n"""\r\n"2",b"c\r\n\r\n3,""\r\n';
    const whole = index(text, { chunkBytes: 4 });
    for (const size of [1, 2, 3, 5, 7]) expect(index(text, { chunkBytes: 4, pushSizes: [size], headBytes: 1 })).toEqual(whole);
  });

  it('leave out the Ctrl-Z of a DOS file', () => {
    const { chunks, sizeBytes } = index('id,n\r\n1,a\r\n\x1a', { pushSizes: [3], headBytes: 1 });
    expect([chunks, sizeBytes]).toEqual([[{ ordinal: 0, byteOffset: 6, byteLength: 5, firstLine: 2 }], 12]);
  });

  it('are none for a header alone', () => {
    expect(index('id,n\n')).toMatchObject({ chunks: [], recordCountEstimate: 0 });
  });

  it('hold large files together: many chunks without a gap', () => {
    const row = `${'x'.repeat(99)}\n`;
    const bytes = Buffer.from(`a\n${row.repeat(5000)}`);
    const { chunks } = index(bytes, { chunkBytes: 1000, pushSizes: [777], headBytes: 1 });
    expect(chunks).toHaveLength(500);
    expect(chunks.at(-1)).toEqual({ ordinal: 499, byteOffset: 2 + 499_000, byteLength: 1000, firstLine: 2 + 4990 });
  });
});

describe('file faults', () => {
  const utf16 = (text: string) => Buffer.concat([Buffer.from('fffe', 'hex'), Buffer.from(text, 'utf16le')]);

  it.each<[string, string | Buffer, FileFaultCode, number | undefined]>([
    ['nothing', '', 'empty-file', undefined],
    ['a byte order mark alone', '\ufeff', 'empty-file', undefined],
    ['blank lines alone', '\r\n \n', 'empty-file', undefined],
    ['a PNG', Buffer.from('89504e470d0a1a0a0000000d', 'hex'), 'unsupported-file', undefined],
    ['an ELF', Buffer.from('7f454c4602010100', 'hex'), 'unsupported-file', undefined],
    ['a zip or xlsx', Buffer.from('504b030414000600', 'hex'), 'unsupported-file', undefined],
    ['a PDF', '%PDF-1.7\n', 'unsupported-file', undefined],
    ['a NUL in the first line', 'id,\0n\n1,2\n', 'unsupported-file', undefined],
    ['many control characters', `id\n${'\x01\x02'.repeat(20)}`, 'unsupported-file', undefined],
    ['UTF-16 with a mark', utf16('id,n\n1,2\n'), 'unsupported-encoding', 1],
    ['big-endian UTF-16', Buffer.from('feff0069', 'hex'), 'unsupported-encoding', 1],
    ['UTF-32', Buffer.from('fffe000069000000', 'hex'), 'unsupported-encoding', 1],
    ['UTF-16 without a mark', Buffer.from('id,n\n1,2\n', 'utf16le'), 'unsupported-encoding', 1],
    ['a Latin-1 header', Buffer.from('gr\xf6\xdfe\n1\n', 'latin1'), 'unsupported-encoding', 1],
    ['an unterminated quote', 'id,n\n1,a\n2,"b\n3,c\n4,d\n', 'unterminated-quote', 3],
    ['an unterminated quote in the header', 'id,"n\n1,a\n', 'unterminated-quote', 1],
    ['a quote that swallows lines up to another', 'id,n\n1,a\n2,"b\n3,c\n4,"d"\n', 'unterminated-quote', 3],
    ['a quote out of place in the header', '"id"x,n\n1,a\n', 'header-mismatch', 1],
  ])('%s', (_name, input, code, line) => {
    for (const pushSizes of [[1_000_000], [1], [3]]) {
      expect(indexBytes(Buffer.from(input), { pushSizes })).toMatchObject({ kind: 'fault', code, ...(line === undefined ? {} : { line }) });
    }
  });

  it.each([
    ['a header', `${'h'.repeat(200)}\n1\n`, 1],
    ['a record', `a\n1\n${'x'.repeat(200)}\n2\n`, 3],
    ['a last record', `a\n1\n${'x'.repeat(200)}`, 3],
    ['a quoted record on one line', `a\n1\n"${'x'.repeat(200)}"\n`, 3],
    ['a line of NDJSON', `{"a":1}\n{"a":"${'x'.repeat(200)}"}\n`, 2],
  ])('record-too-large for %s over the limit', (_name, text, line) => {
    for (const size of [1000, 7]) {
      expect(indexBytes(Buffer.from(text), { maxRecordBytes: 100, pushSizes: [size], headBytes: size })).toMatchObject({
        code: 'record-too-large',
        line,
      });
    }
  });

  it('takes a quote that is still open after the largest record for unterminated, and says so before the file ends', () => {
    const indexer = createChunkIndexer({ format: 'csv', maxRecordBytes: 1000 });
    indexer.push(Buffer.from(`id,n\n1,"a\n${'2,b\n'.repeat(30_000)}`));
    expect(indexer.fault()).toMatchObject({ code: 'unterminated-quote', line: 2 });
    indexer.push(Buffer.from('more'));
    expect(indexer.end()).toEqual(indexer.fault());
  });

  it('keeps its memory flat on one endless line', () => {
    const indexer = createChunkIndexer({ format: 'csv' });
    const piece = Buffer.alloc(64 * 1024, 'x');
    indexer.push(Buffer.from('a\n'));
    const before = process.memoryUsage().arrayBuffers;
    for (let pushed = 0; pushed < 64 * 1024 * 1024; pushed += piece.length) indexer.push(piece);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
    expect(indexer.fault()).toMatchObject({ code: 'record-too-large', line: 2 });
  });
});
