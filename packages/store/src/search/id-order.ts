// Places between ids, which as UUIDv7 are in the order of time. As lower-case text they sort as PostgreSQL sorts them.

/** The id that follows: what comes before it includes the given one. */
export function successor(id: string): string {
  return uuidText((BigInt(`0x${id.replaceAll('-', '')}`) + 1n).toString(16).padStart(32, '0'));
}

/** The smallest UUIDv7 of a time in milliseconds since 1970. */
export function firstIdAt(atMs: number): string {
  const digits = Math.trunc(Math.min(Math.max(atMs, 0), 2 ** 48 - 1)).toString(16);
  return uuidText(digits.padStart(12, '0').padEnd(32, '0'));
}

function uuidText(digits: string): string {
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
