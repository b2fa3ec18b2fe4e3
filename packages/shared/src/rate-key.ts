// The key under which a rate limit is counted: its name, alone or with the value that it is kept apart by. Dispatch and handlers count under
// the same keys, so they are made here for both.

const VALUE_CHARS_MAX = 200;

/** The key of a limit: its name, or one for each value it is kept apart by. Values are cut at 200 characters, and half characters replaced. */
export function limitKeyOf(name: string, value: string | undefined): string {
  return value === undefined ? name : `${name}:${value.slice(0, VALUE_CHARS_MAX).toWellFormed()}`;
}

/** The name of a limit in one of its keys; names have no colon. */
export function limitNameOf(key: string): string {
  const colon = key.indexOf(':');
  return colon < 0 ? key : key.slice(0, colon);
}
