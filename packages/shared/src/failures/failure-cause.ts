// The cause of a failure: its code and its message without what differs from one failure of the same kind to the next. Failures with the
// same cause are one incident. Pure text work; who groups by it, and what an incident is, is left to others.

/** Longer messages differ in their tails mostly, and every pattern below reads the text once. */
const READ_CHARS_MAX = 2_000;
const CODE_CHARS_MAX = 100;
const CAUSE_CHARS_MAX = 240;

/** Numbers that say what happened rather than to whom: a status of HTTP, an exit code, a SQLSTATE, an errno. */
const TELLING_NUMBER =
  /\b(?:status(?:[ _-]?code)?|http(?:\/\d(?:\.\d)?)?|(?:exit(?:ed)?|error|sql)?(?: with)?[ _-]?(?:code|state)|errno|signal)\b["']?[ :=#(]{1,3}-?\d{1,5}(?![\w.])/gi;

/** Stands for whatever differs. One sign for all of it: an id may be all digits in one message and have letters in the next. */
const ANY = '<*>';
const anything = () => ANY;
const keptPart = (_part: string, kept: string) => kept;

/**
 * What is replaced, in this order: the longer shapes first, because a number may be part of any of them. Every quantifier is bounded and
 * none stands inside another over the same characters, so that a hostile message costs no more than a long one.
 */
const VARIABLE_PARTS: readonly (readonly [RegExp, (part: string, kept: string) => string])[] = [
  // What a URL was asked with; what is left of it is treated like any path.
  [/(\b[a-z][a-z0-9+.-]{1,10}:\/\/[^\s"'`<>?#]{1,500})[?#][^\s"'`<>]{0,1000}/gi, keptPart],
  // Names and passwords inside a URL.
  [/(\b[a-z][a-z0-9+.-]{1,10}:\/\/)[^\s"'`<>/@]{1,200}@/gi, keptPart],
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, anything],
  [/[\w.+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,5}/gi, anything],
  // Times with or without a date, a fraction or a zone.
  [/\b\d{4}-\d{2}-\d{2}(?:[t ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?(?:z|utc|gmt|[+-]\d{2}:?\d{2})\b)?)?/gi, anything],
  [/\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b/g, anything],
  [/(?<![\w:])(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}(?![\w:])/gi, anything],
  // Quoted values. A single quote inside a word is an apostrophe.
  [/"(?:[^"\\]|\\.){0,1000}"|`[^`]{0,1000}`|“[^”]{0,1000}”|«[^»]{0,1000}»/g, anything],
  [/(?<!\w)'[^']{0,1000}'(?!\w)/g, anything],
  [/\b0x[0-9a-f]{1,64}\b/gi, anything],
  // Digests, object ids, tokens of ULID or nanoid, also after a prefix as in acct_8fK2x.
  [/(?<![a-z0-9_-])[a-z0-9_-]{5,200}(?![a-z0-9_-])/gi, withoutId],
  // Short ones that begin with a digit, as in 5f1.
  [/(?<![a-z0-9.])\d{1,20}[a-z]{1,20}\d[a-z0-9]{0,40}(?![a-z0-9])/gi, anything],
  // Numbers with signs, separators, exponents; a unit that follows stays.
  [/(?<![a-z0-9.])[+-]?\d{1,40}(?:[.,:]\d{1,40}){0,10}(?:e[+-]?\d{1,4})?(?=[a-z%µ]{0,4}(?![a-z0-9]))/gi, anything],
  // Four digits or more at the end of a word, as in ORD12345; fewer belong to its name, as in utf8 or sha256.
  [/(?<=[a-z])\d{4,40}(?![a-z0-9])/gi, anything],
  // A list of any length is a list.
  [/<\*>(?:(?:, ?|; ?| )<\*>){1,200}/g, anything],
];

const HEX_CHARS_MIN = 6;
const TOKEN_CHARS_MIN = 12;
const PREFIXED_TOKEN_CHARS_MIN = 5;
/** Tokens of base64url may have separators anywhere; they are long, and mix capitals, small letters and digits. */
const MIXED_TOKEN_CHARS_MIN = 16;
/** Changes between digits and letters that a word does not have. */
const TOKEN_TURNS_MIN = 3;

/** A word without the parts of it that only a program would make. */
function withoutId(word: string): string {
  const isMixed = /\d/.test(word) && /[a-z]/.test(word) && /[A-Z]/.test(word);
  if (isMixed && word.length >= MIXED_TOKEN_CHARS_MIN && turns(word) >= TOKEN_TURNS_MIN) return ANY;
  return word
    .split(/([_-])/)
    .map((part, index) => (isId(part, index > 0) ? ANY : part))
    .join('');
}

function isId(part: string, hasPrefix: boolean): boolean {
  if (!/\d/.test(part) || !/[a-z]/i.test(part)) return false;
  if (/^[0-9a-f]+$/i.test(part) && part.length >= HEX_CHARS_MIN) return true;
  const charsMin = hasPrefix ? PREFIXED_TOKEN_CHARS_MIN : TOKEN_CHARS_MIN;
  return part.length >= charsMin && turns(part) >= (hasPrefix ? 2 : TOKEN_TURNS_MIN);
}

function turns(word: string): number {
  return (word.match(/\d(?=[_-]?[a-z])|[a-z](?=[_-]?\d)/gi) ?? []).length;
}

/** A private-use character stands for a number that is kept until the others are gone. */
const KEPT = '\uE000';

/**
 * Code and normalised message, at most 240 characters: `Error: no order <*> for <*>`. Ids, numbers, hexadecimal digits, UUIDs, times,
 * addresses, quoted values and the variable parts of paths are replaced by `<*>`; codes and numbers that tell what happened (an HTTP status, an
 * exit code) are kept.
 */
export function failureCause(error: { code: string; message: string }): string {
  const code = squeezed(error.code).slice(0, CODE_CHARS_MAX);
  const message = normalised(error.message);
  if (message === '' || message === code) return code;
  return cut(code === '' ? message : `${code}: ${message}`);
}

function normalised(message: string): string {
  const kept: string[] = [];
  const text = squeezed(message.slice(0, READ_CHARS_MAX)).replaceAll(TELLING_NUMBER, (telling) => {
    kept.push(telling);
    return KEPT;
  });
  const replaced = VARIABLE_PARTS.reduce((rest, [pattern, by]) => rest.replaceAll(pattern, by), text);
  let next = 0;
  return replaced.replaceAll(KEPT, () => kept[next++] ?? '').trim();
}

function squeezed(text: string): string {
  return text.replaceAll(KEPT, ' ').replaceAll(/\s+/g, ' ').trim();
}

// By code points, so that no half of a surrogate pair is left.
function cut(text: string): string {
  const points = Array.from(text);
  return points.length <= CAUSE_CHARS_MAX ? text : `${points.slice(0, CAUSE_CHARS_MAX - 1).join('')}…`;
}
