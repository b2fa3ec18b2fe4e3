// Instants that clients name, as PostgreSQL can take them.

/** RFC 3339 has a year 0 and offsets up to 23:59, PostgreSQL has neither: what lies beyond these says the same. */
const EARLIEST_MS = Date.parse('0001-01-01T00:00:00Z');
const LATEST_MS = Date.parse('9999-12-31T23:59:59.999Z');

/** @param text RFC 3339, checked */
export function storableInstant(text: string): string {
  return new Date(Math.min(Math.max(Date.parse(text), EARLIEST_MS), LATEST_MS)).toISOString();
}

/** Those of the given members that are there, made storable. */
export function storableInstants<Name extends string>(
  given: Readonly<Partial<Record<Name, string | undefined>>>,
  names: readonly Name[],
): Partial<Record<Name, string>> {
  const instants: Partial<Record<Name, string>> = {};
  for (const name of names) {
    const text = given[name];
    if (text !== undefined) instants[name] = storableInstant(text);
  }
  return instants;
}
