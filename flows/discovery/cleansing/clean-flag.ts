// Reads yes and no in the spellings that exports use.

const YES = new Set(['yes', 'y', 'true', 't', '1', 'x', 'on', 'ja', 'j', 'wahr', 'oui', 'si']);
const NO = new Set(['no', 'n', 'false', 'f', '0', 'off', 'nein', 'falsch', 'non']);

/** Null when the text is neither. */
export function cleanFlag(raw: string): boolean | null {
  const text = raw.trim().toLowerCase();
  if (YES.has(text)) return true;
  return NO.has(text) ? false : null;
}
