// Random files through the whole path, against csv-parse and JSON.parse as independent readers.
import { describe, expect, it } from '@jest/globals';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { indexBytes, loadText, textColumns } from '../../test/load-text.ts';

const names = ['a', 'b', 'c'];
const columns = textColumns(...names);
const pieces = ['x', 'é', '😀', '"', ',', '\n', '\r\n', '\r', ' ', '\\', '\t', '\\N', '\u2028', '1', '=', ';'];
const cell = fc.oneof(
  fc.constant(null),
  fc.array(fc.constantFrom(...pieces), { maxLength: 8 }).map((parts) => parts.join('')),
);
const row = fc.tuple(cell, cell, cell);
const splits = fc.record({
  pushSizes: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 }),
  chunkBytes: fc.integer({ min: 1, max: 100 }),
  partBytes: fc.integer({ min: 1, max: 200 }),
  headBytes: fc.integer({ min: 1, max: 20 }),
});

const needsQuotes = (text: string) => text === '' || /[",\r\n]/.test(text);

function writeCell(value: string | null, isAlwaysQuoted: boolean): string {
  if (value === null) return '';
  return isAlwaysQuoted || needsQuotes(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

const countBreaks = (text: string, lineEnd: string) => (text.match(lineEnd === '\r' ? /\r\n|\r|\n/g : /\n/g) ?? []).length;

describe('random CSV', () => {
  it('gives the rows and lines that were written, however it is pushed and cut', () => {
    const file = fc.record({
      rows: fc.array(row, { maxLength: 12 }),
      lineEnd: fc.constantFrom('\n', '\r\n', '\r'),
      isQuoted: fc.boolean(),
      endsOpen: fc.boolean(),
    });
    fc.assert(
      fc.property(file, splits, ({ rows, lineEnd, isQuoted, endsOpen }, split) => {
        const records = rows.map((cells) => cells.map((value) => writeCell(value, isQuoted)).join(','));
        const text = [names.join(','), ...records].join(lineEnd) + (endsOpen ? '' : lineEnd);
        const loaded = loadText(text, { columns, csv: { delimiter: ',' }, ...split });
        let line = 2;
        const lines = records.map((record) => (line += countBreaks(record, lineEnd) + 1) - countBreaks(record, lineEnd) - 1);
        expect(loaded.rejects).toEqual([]);
        expect(loaded.rows).toEqual(rows);
        expect(loaded.lines).toEqual(lines);
        if (lineEnd !== '\r') {
          const oracle: string[][] = parse(text, { from_line: 1, record_delimiter: ['\r\n', '\n'] });
          expect(loaded.rows.map((cells) => cells.map((value) => value ?? ''))).toEqual(oracle.slice(1));
        }
      }),
      { numRuns: 400 },
    );
  });

  it('never loses or doubles a byte of any text, and agrees with itself on where records end', () => {
    const soup = fc.array(fc.constantFrom(...pieces, '"', '"', ',', '\n'), { maxLength: 60 });
    fc.assert(
      fc.property(soup, splits, fc.constantFrom('\n', '\r'), (parts, split, lineEnd) => {
        const text = `a,b,c${lineEnd}.${parts.join('')}`;
        const bytes = Buffer.from(text);
        const csv = { delimiter: ',' };
        const whole = loadText(text, { columns, csv });
        const cut = loadText(text, { columns, csv, ...split });
        expect(cut.fault).toEqual(whole.fault);
        expect([cut.rows, cut.lines, cut.rejects]).toEqual([whole.rows, whole.lines, whole.rejects]);
        const index = indexBytes(bytes, { csv, ...split });
        if (index.kind === 'fault') return;
        let next = 6;
        for (const chunk of index.chunks) {
          expect(chunk.byteOffset).toBe(next);
          next += chunk.byteLength;
        }
        expect(next).toBe(bytes.length);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('random NDJSON', () => {
  it('gives what JSON.parse gives', () => {
    const value = fc.oneof(cell, fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean());
    const object = fc.dictionary(fc.constantFrom(...names), value);
    fc.assert(
      fc.property(fc.array(object, { minLength: 1, maxLength: 12 }), splits, fc.constantFrom('\n', '\r\n'), (objects, split, lineEnd) => {
        const loaded = loadText(objects.map((each) => JSON.stringify(each)).join(lineEnd), { format: 'ndjson', columns, ...split });
        const expected = objects.map((each) =>
          names.map((name) =>
            each[name] === undefined || each[name] === null
              ? null
              : typeof each[name] === 'string'
                ? each[name]
                : JSON.stringify(each[name]),
          ),
        );
        expect(loaded.fault).toBeNull();
        expect(loaded.rows).toEqual(expected);
        expect(loaded.lines).toEqual(objects.map((_, position) => position + 1));
      }),
      { numRuns: 400 },
    );
  });

  it('accepts as json exactly what JSON.parse accepts', () => {
    const soup = fc.oneof(
      fc.json({ maxDepth: 4 }),
      fc
        .array(
          fc.constantFrom('{', '}', '[', ']', '"', ',', ':', '1', '0', '-', '.', 'e', '+', 'true', 'null', '\\', 'u0041', 'n', ' ', '"a"'),
          { minLength: 1, maxLength: 10 },
        )
        .map((parts) => parts.join('')),
    );
    const isJson = (text: string) => {
      try {
        JSON.parse(text);
        return true;
      } catch {
        // The oracle's way of saying no.
        return false;
      }
    };
    fc.assert(
      fc.property(soup, (text) => {
        const quoted = `"${text.replaceAll('"', '""')}"`;
        const { rejects } = loadText(`id,j\n1,${quoted}\n`, {
          columns: [
            { name: 'id', type: 'text' },
            { name: 'j', type: 'json' },
          ],
        });
        const isFaulty = rejects.some(({ code }) => code === 'json');
        expect(isFaulty).toBe(!isJson(text));
      }),
      { numRuns: 2000 },
    );
  });
});
