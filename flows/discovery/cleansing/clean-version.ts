// Brings version texts into one form. A range is no version: it is kept as it stands and said to be a range.

export type CleanVersion = { value: string | null; kind: 'exact' | 'range' | 'other' | 'missing' };

const PREFIX_PATTERN = /^(?:version|ver\.?|v|=)+\s*(?=\d)/i;
const NUMERIC_PATTERN = /^(\d+(?:\.\d+)*)((?:[-+][0-9A-Za-z.+-]+)?)$/;
const RANGE_PATTERN = /^[\^~<>*]|\|\||\s-\s|\s[<>=]|(?:^|\.)[xX*](?:\.|$)|^(?:latest|next)$/;
const SEMVER_PARTS = 3;

/**
 * Strips "v", "=" and "Version"; with `padded` (packages) 1.2 becomes 1.2.0, as semver has three parts, and leading zeros go.
 * Applications keep the parts their vendor gives them. Anything else that is no number is `other`, unchanged.
 */
export function cleanVersion(text: string, padded: boolean): CleanVersion {
  if (text === '') return { value: null, kind: 'missing' };
  const stripped = text.replace(PREFIX_PATTERN, '');
  if (RANGE_PATTERN.test(stripped)) return { value: text, kind: 'range' };
  const numeric = NUMERIC_PATTERN.exec(stripped);
  if (!numeric) return { value: text, kind: 'other' };
  const parts = (numeric[1] ?? '').split('.');
  if (!padded) return { value: stripped, kind: 'exact' };
  const plain = parts.map((part) => part.replace(/^0+(?=\d)/, ''));
  while (plain.length < SEMVER_PARTS) plain.push('0');
  return { value: plain.join('.') + (numeric[2] ?? ''), kind: 'exact' };
}
