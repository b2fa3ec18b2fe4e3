// Writes one cell of a CSV export (RFC 4180) and defuses what a spreadsheet would run as a formula.
// Leaves rows, headers and streaming to the caller.

// The characters OWASP names as starting a formula: https://owasp.org/www-community/attacks/CSV_Injection
const formulaStart = /^[=+\-@\t\r]/;
const plainNumber = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const needsQuotes = /[",\r\n]/;

/** Puts an apostrophe before a text that a spreadsheet would run; plain numbers such as -1 stay as they are. */
export function defuseFormula(text: string): string {
  return formulaStart.test(text) && !plainNumber.test(text) ? `'${text}` : text;
}

/** One cell, defused and quoted where needed. Null is an empty cell, an empty string is `""`, so that both can be read back. */
export function formatCsvCell(value: string | null): string {
  if (value === null) return '';
  const text = defuseFormula(value);
  return text === '' || needsQuotes.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
