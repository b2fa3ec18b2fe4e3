// What every cell goes through before its field's own rules: spaces, invisible characters and words that stand for "nothing".

const INVISIBLE_PATTERN = /[\u00ad\u200b-\u200d\u2060\ufeff]/g;
const SPACES_PATTERN = /\s+/g;
const PLACEHOLDER_PATTERN = /^(?:n\/?a|#n\/a|n\.a\.|-+|\?+|null|undefined|unknown|unbekannt|tbd|nicht bekannt|keine angabe|k\.a\.)$/i;

/** Trims, turns runs of any white space into one space and removes characters that nobody can see. */
export function cleanText(raw: string): string {
  return raw.replace(INVISIBLE_PATTERN, '').replace(SPACES_PATTERN, ' ').trim();
}

/** True for "n/a", "-", "unknown" and their like. */
export function isPlaceholder(text: string): boolean {
  return PLACEHOLDER_PATTERN.test(text);
}
