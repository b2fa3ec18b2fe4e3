// Columns of a set-based statement as PostgreSQL's array text. The driver would make the same text of an array, but looks at each element
// several times for it.

/** A column of numbers, booleans or UUIDs, whose text needs no quotes. */
export function plainColumn<Row>(rows: readonly Row[], valueOf: (row: Row) => string | number | boolean | null): string {
  let text = '';
  for (const row of rows) text += `,${valueOf(row) ?? 'NULL'}`;
  return `{${text.slice(1)}}`;
}

/** A column of any texts: strings, times, JSON. */
export function textColumn<Row>(rows: readonly Row[], valueOf: (row: Row) => string | null): string {
  let text = '';
  for (const row of rows) {
    const value = valueOf(row);
    text += value === null ? ',NULL' : `,"${escaped(value)}"`;
  }
  return `{${text.slice(1)}}`;
}

/** A column of bytea. */
export function bytesColumn<Row>(rows: readonly Row[], valueOf: (row: Row) => Buffer | null): string {
  return textColumn(rows, (row) => {
    const value = valueOf(row);
    return value === null ? null : `\\x${value.toString('hex')}`;
  });
}

function escaped(value: string): string {
  return value.includes('"') || value.includes('\\') ? value.replaceAll(/["\\]/g, String.raw`\$&`) : value;
}
