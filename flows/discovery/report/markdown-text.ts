// The little Markdown that the report needs, with everything that comes from outside escaped.

const SPECIAL_PATTERN = /[\\`*_[\]<>|~#]/g;
const LINE_BREAK_PATTERN = /\s*[\r\n]+\s*/g;

/** Text that shows as it is written, on one line, whatever it holds: in a paragraph, a list or a table's cell. */
export function escapeMarkdown(text: string): string {
  return text
    .replace(LINE_BREAK_PATTERN, ' ')
    .replace(/&/g, '&amp;')
    .replace(SPECIAL_PATTERN, (character) => `\\${character}`);
}

/** A GFM table. Cells are escaped here. Numbers are aligned to the right. */
export function markdownTable(headings: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const first = rows[0] ?? [];
  const rule = headings.map((_, column) => (typeof first[column] === 'number' ? '---:' : '---'));
  const lines = [headings.map(escapeMarkdown), rule, ...rows.map((row) => row.map((cell) => escapeMarkdown(String(cell))))];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
