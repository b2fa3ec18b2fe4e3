// Whether a value can be kept as jsonb: PostgreSQL refuses NUL and lone surrogates, and everything we keep has a size limit.

export type StorableJson = { ok: true; text: string } | { ok: false; problem: string };

/**
 * Serialises a value for a jsonb column. `undefined` becomes null.
 * @param bytesMax limit of the UTF-8 text; beyond it the answer is a problem that says so.
 */
export function storableJson(value: unknown, bytesMax: number): StorableJson {
  let text: string;
  try {
    text = JSON.stringify(value ?? null) ?? 'null';
  } catch (error) {
    return { ok: false, problem: `it is not JSON: ${error instanceof Error ? error.message : 'unknown reason'}` };
  }
  // UTF-8 needs at most 3 bytes per UTF-16 unit, so most texts need no counting.
  const sizeBytes = text.length * 3 <= bytesMax ? 0 : new TextEncoder().encode(text).length;
  if (sizeBytes > bytesMax) return { ok: false, problem: `it is larger than ${bytesMax} bytes as JSON: ${sizeBytes}` };
  if (hasEscape(text, /^(?:\\\\)*\\u0000/)) return { ok: false, problem: 'it contains the NUL character' };
  if (hasEscape(text, /^(?:\\\\)*\\ud[89ab]/i) || hasEscape(text, /^(?:\\\\)*\\ud[c-f]/i))
    return { ok: false, problem: 'it contains a lone surrogate' };
  return { ok: true, text };
}

// JSON.stringify writes NUL and lone surrogates, and nothing else we must refuse, as \u escapes; a run of backslashes before decides whether one is real.
function hasEscape(text: string, pattern: RegExp): boolean {
  if (!text.includes('\\u')) return false;
  for (const match of text.matchAll(/\\+u[0-9a-fA-F]{4}/g)) if (pattern.test(match[0])) return true;
  return false;
}
