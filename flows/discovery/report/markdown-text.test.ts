import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { escapeMarkdown, markdownTable } from './markdown-text.ts';

it('shows what would be markup as it is written', () => {
  expect(escapeMarkdown('a|b `c` <img src=x> [d](e) _f_\r\n# g & h')).toBe(
    'a\\|b \\`c\\` \\<img src=x\\> \\[d\\](e) \\_f\\_ \\# g &amp; h',
  );
});

it('aligns numbers to the right', () => {
  expect(markdownTable(['What', 'Count'], [['a|b', 3]])).toBe('| What | Count |\n| --- | ---: |\n| a\\|b | 3 |');
});

it('has as many cells in every row as headings, whatever the cells hold', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string(), fc.string()), { minLength: 1, maxLength: 5 }), (rows) => {
      const lines = markdownTable(['a', 'b'], rows).split('\n');
      expect(lines).toHaveLength(rows.length + 2);
      for (const line of lines) expect(line.replaceAll(/\\./g, '').split('|')).toHaveLength(4);
    }),
  );
});
